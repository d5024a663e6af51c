"""Actors: objects with state in a process of their own; here two accounts and an audit.

Run: ./dev python examples/actors.py
"""

from __future__ import annotations

import whipray as ray


@ray.remote
class Account:
    """A balance that nobody else can touch."""

    def __init__(self, owner: str, balance: int = 0) -> None:
        self.owner = owner
        self.balance = balance

    def deposit(self, amount: int) -> int:
        if amount <= 0:
            raise ValueError(f"a deposit of {amount}")
        self.balance += amount
        return self.balance

    def statement(self) -> tuple[str, int]:
        return self.owner, self.balance


@ray.remote
def pay_in(account: ray.actor.ActorHandle, times: int) -> None:
    """A task that holds a handle of an actor: calls of one caller keep their order."""
    ray.get([account.deposit.remote(1) for _ in range(times)])


def main() -> None:
    with ray.init():
        ada, bob = Account.remote("Ada", 100), Account.options(name="bob").remote("Bob")
        ray.get([pay_in.remote(ada, 1000), pay_in.remote(bob, 500), pay_in.remote(ada, 1000)])
        for owner, balance in ray.get([ada.statement.remote(), bob.statement.remote()]):
            print(f"{owner} has {balance}")
        try:
            ray.get(ray.get_actor("bob").deposit.remote(-1))
        except ValueError as error:
            print("refused:", str(error).strip().splitlines()[-1])


if __name__ == "__main__":
    main()
