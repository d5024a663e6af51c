"""Interface of the C extension `whipray._core` (python/src): what runs per call.

Everything here converts and moves; policy is Python's. The extension asks the Python half through
*hooks* (`set_hooks`), all optional until they are first needed; one that is missing raises
RuntimeError naming it.

Terms. A *handle* is the unsigned 64-bit number of a cell (`wr_ref`); in records it travels as a
signed 'i', and every function here takes both signs. A *ref* is an `ObjectRef`: (handle, return
index), counted. A *session* begins with `connect` and ends with `disconnect`; refs, actors and
resolved functions of an older session are dead: using one raises (hook `system_error`, "STATE"),
dropping one does nothing.

Hooks (keyword of `set_hooks`: signature -> result):

    system_error(status: str, text: str, hint: str) -> BaseException
        The exception for a Whipray error; status is a name of whipray/status.def without "E_",
        e.g. "TIMEOUT". `_core` raises what it returns.
    task_error(payload: object) -> BaseException
        The exception for an object of kind ERROR (payload: what `pack_error` returned, decoded);
        raised by get.
    timeout_error(missing: int, text: str) -> BaseException
        The exception for a get whose time is up: handle of the first object that is not there, and
        what is known without asking anybody. Not asked when the time was 0.
    pack_error(error: BaseException, task_name: str | None) -> object
        What is stored for an exception of user code; must be encodable by plain values (str,
        bytes, tuple ...). task_name None: an error of the engine that was met when a call was
        made (its actor is dead).
    auto_init() -> None
        Called when get, put, wait, remote ... find no session; connects, or raises.
    resolve_function(function: RemoteFunction, closed: tuple[int, int, int] = ...) -> None
        First `.remote` in a session: exports, opens the class, calls `function._bind(function=,
        port=, ring=, generation=)`.
    resolve_actor(core: ActorCore) -> None
        First call through a handle in a session: op "port_open", then
        `core.bind(port=, ring=, generation=)`.
    method_options(method: ActorMethod, options: dict) -> ActorMethod
        `handle.m.options(**options)`.
    call_refused(what: object) -> BaseException
        The TypeError for `f()`, `handle.m()`: what is the RemoteFunction or ActorMethod.
    cloud_dump(sink: Sink, value: object) -> None
        Pickles value by cloudpickle, protocol 5, with file=sink, buffer_callback=sink.buffer, and
        a reducer_override that asks `sink.reduce(obj)` first and takes its answer unless it is
        NotImplemented. A value that cannot be pickled: raises the TypeError with the inspection
        report.
    await_ref(ref: ObjectRef) -> Iterator
        `__await__` of a ref that is not ready (a ready one never asks).
    future_of(ref: ObjectRef) -> concurrent.futures.Future
        `ref.future()`.
    on_completed(ref: ObjectRef, callback) -> None
        `ref._on_completed(callback)`.
    generator_class: type
        Subclass of ObjectRefGenerator that `.remote` of streaming calls makes:
        `generator_class(ref)`.
    method_class: type
        Subclass of ActorMethod that `handle.m` makes; default ActorMethod.
    load_function(function: int) -> tuple[callable, str, int]
        Worker: (callable, name, max_calls; 0: no limit) of a function number; asked once per
        session.
    call_extra(extra: bytes) -> object
        Worker: decodes `extra` of a call; cached by its bytes; shown as `Task.extra`.
    should_retry(error: BaseException, extra: object | None) -> bool
        Worker: whether an application error is retried; asked only for calls with
        CALL_RETRY_ERRORS.
    assignment() -> object
        Worker, in `run_worker`: the assignment changed. Calls op "assignment", prepares
        environment and actor. An async or threaded actor runs its whole life inside this hook.
        True: `run_worker` returns NEXT_EXIT.
    coroutine_task() -> Task | None
        Worker, of an asyncio actor: whose call the running coroutine belongs to; asked when
        something is submitted outside `Task.run`.
    max_calls_reached() -> None
        Worker: the function's max_calls is used up; `run_worker` returns NEXT_EXIT after this.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from inspect import Signature
from types import GenericAlias
from typing import Any, Final, Generic, TypeVar, final

T = TypeVar("T")

# ---- Constants ---------------------------------------------------------------------------------

KIND_DRIVER: Final = 1
KIND_WORKER: Final = 2
KIND_TOOL: Final = 3

CALL_STREAM: Final = 1
CALL_PARKED: Final = 2
CALL_RETRY_ERRORS: Final = 4
METHOD: Final = 0x80000000
"""Set in a function number that is an actor's method index."""

NEXT_NONE: Final = 1
NEXT_ASSIGNMENT: Final = 2
NEXT_EXIT: Final = 3
NEXT_DEAD: Final = 4

RETURNS_STREAM: Final = -1
"""num_returns of a streaming call."""

DONE: Final[object]
"""What Task.run and Task.step return when the task is sealed."""

# ---- Set-up ------------------------------------------------------------------------------------

def set_hooks(**hooks: Any) -> None:
    """Sets the hooks named in the module's text; may be called again, later ones replace. Unknown
    name: TypeError."""

serializers: dict[type, Callable[[Any], tuple[Any, ...]]]
"""Custom serializers of this process, kept by the Python half: exact type -> function of an
instance that returns what `__reduce__` may return, e.g. `(deserializer, (payload,))`. Asked
before `__reduce__`; never for None, bool, int, float, str, bytes, tuple, list, dict."""

# ---- Records and control calls -----------------------------------------------------------------

def pack(fields: dict[str, Any]) -> bytes:
    """Packs a record (whipray/record.h). int, bool, ObjectRef (its handle) -> i; float -> d; str
    -> s; bytes, bytearray, memoryview -> b; None -> n; dict -> m; list, tuple -> l. Ints up to
    2**64 - 1 are cast. Raises TypeError (another type), ValueError (name, depth over 8, over 1
    MiB)."""

def unpack(record: bytes) -> dict[str, Any]:
    """The reverse. Raises ValueError when the bytes are no record."""

def serve_forks(socket_path: str, hello: bytes) -> bytes:
    """Says hello to the raylet (the packed record is its whole request), then forks on its orders,
    in C, with the GIL held and no Python code run; the process must have one thread. Returns only
    in a child, with its order, a packed record (engine/local/protocol.h, fork_next). In the server:
    raises ConnectionError when the raylet hung up, RuntimeError for any other failure."""

def connect(
    kind: int, socket_path: str, token: str, hello: bytes = b"", spin_us: int = 50
) -> bytes:
    """Opens this process's session; GIL released. Returns the welcome, a packed record.
    kind: KIND_DRIVER or KIND_WORKER. Raises system_error; RuntimeError when connected already."""

def disconnect() -> None:
    """Ends the session: refs, functions and handles of it become dead. Safe to call twice."""

def is_connected() -> bool:
    """Whether a session is open in this process (false in a forked child)."""

def health() -> str:
    """ "OK", "RAYLET_DIED" or "STATE" (no session, closed, forked)."""

def session() -> int:
    """Number of the present session, 0: none. Changes at every connect."""

def call(op: str, payload: bytes = b"", timeout: float = 60.0) -> bytes:
    """A control call of engine/local/protocol.h: packed record in, packed record out ("" for an
    empty one); payload b"" is an empty record. Any thread, GIL released. Raises system_error.
    Does not auto-init."""

@final
class ToolConnection:
    """A connection for control calls only; independent of the session."""

    def __init__(
        self, socket_path: str, token: str, hello: bytes = b"", *, timeout: float = 10.0
    ) -> None: ...
    @property
    def welcome(self) -> bytes: ...
    def call(self, op: str, payload: bytes = b"", timeout: float = 60.0) -> bytes: ...
    def close(self) -> None: ...

def counters() -> dict[str, int]:
    """Of this process since it connected: tasks_submitted tasks_executed actor_calls_submitted
    actor_calls_executed objects_put bytes_put objects_sealed bytes_sealed."""

# ---- Objects -----------------------------------------------------------------------------------

@final
class ObjectRef(Generic[T]):
    """A counted reference to an object: return `index` of the cell `handle`. Equal and hashed by
    id.

    `ObjectRef(id)` with 28 bytes: a ref of this node that this process may borrow, else a bare id
    that get refuses. ObjectRef[T] is a types.GenericAlias."""

    def __init__(self, id: bytes) -> None: ...
    def hex(self) -> str: ...
    def binary(self) -> bytes: ...
    def is_nil(self) -> bool: ...
    def task_id_bytes(self) -> bytes:
        """24 bytes; the Python half's `task_id()` wraps them (see `set_id_classes`)."""
    def task_id(self) -> Any: ...
    def job_id(self) -> Any: ...
    @classmethod
    def nil(cls) -> ObjectRef[Any]: ...
    @classmethod
    def from_random(cls) -> ObjectRef[Any]: ...
    @classmethod
    def from_hex(cls, text: str) -> ObjectRef[Any]: ...
    @classmethod
    def from_binary(cls, id: bytes) -> ObjectRef[Any]: ...
    @classmethod
    def size(cls) -> int: ...
    def future(self) -> Future[T]: ...
    def as_future(self) -> Any:
        """hook await_ref wrapped: asyncio.wrap_future(self.future())."""
    def _on_completed(self, callback: Callable[[T], Any]) -> None: ...
    def call_site(self) -> str: ...
    def owner_address(self) -> bytes: ...
    def tensor_transport(self) -> None: ...
    @property
    def handle(self) -> int:
        """The unsigned handle; 0 for a nil or bare id."""
    @property
    def index(self) -> int: ...
    def __await__(self) -> Iterator[Any]: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by hand (not inside a value): pins the object for the job."""

def set_id_classes(*, task_id: type, job_id: type) -> None:
    """Classes (constructor takes bytes) that ObjectRef.task_id() and job_id() return; bytes until
    set."""

def get(refs: Any, *, timeout: float | None = None, _use_object_store: bool = False) -> Any:
    """ray.get: one ref, a list of refs, or an ObjectRefGenerator (comes back unchanged).
    ray-compat section 1."""

def put(value: Any, *, _owner: None = None, _tensor_transport: None = None) -> ObjectRef[Any]:
    """ray.put."""

def wait(
    refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[Any], list[Any]]:
    """ray.wait; elements may be ObjectRefGenerators (ready: their next item is)."""

def ready(ref: ObjectRef[Any]) -> bool:
    """Whether the object is there (value or error). Never blocks."""

def watch(refs: list[ObjectRef[Any]], timeout: float) -> list[int]:
    """Waits (GIL released) until at least one is ready or the timeout; indices of all that are.
    For watcher threads."""

def cancel_local(ref: ObjectRef[Any]) -> tuple[str, int, int]:
    """(state, slot, epoch). "cancelled": it was queued or waiting here and ends as TaskCancelled;
    "running": slot and epoch say who runs it (ask by op "cancel"); "done": sealed or unknown."""

def share(ref: ObjectRef[Any]) -> int:
    """Makes the object known to the raylet before its handle is named in a control call; returns
    the handle."""

def ref_from_handle(handle: int, index: int = 0) -> ObjectRef[Any]:
    """A ref of a handle that came from elsewhere (a control call): borrows it."""

def ref_reduce(ref: ObjectRef[Any]) -> tuple[Any, ...]:
    """As ObjectRef.__reduce__."""

@final
class Encoded:
    """A value encoded, not yet stored: for functions and classes that are exported once."""

    @property
    def stream(self) -> bytes:
        """The codec's bytes without buffers; equal streams and no buffers: equal values."""
    @property
    def nbytes(self) -> int:
        """Of the stream and all buffers."""
    def put(self) -> ObjectRef[Any]:
        """Stores it; once."""

def encode(value: Any, *, by_value: bool = False) -> Encoded:
    """by_value: pickle straight by cloudpickle (functions and classes)."""

def put_error(payload: Any) -> ObjectRef[Any]:
    """An object that raises task_error(payload) at get."""

# ---- Calls -------------------------------------------------------------------------------------

@final
class Sig:
    """A signature prepared for checking calls: `Sig(inspect.Signature, name)`; Sig(None) accepts
    everything. `name` is the function's, for the texts of the refusals."""

    def __init__(self, signature: Signature | None, name: str | None = None) -> None: ...
    def check(self, *args: Any, **kwargs: Any) -> None:
        """Raises the TypeError that calling would: `name`, the signature, and what
        `Signature.bind` says; the last alone without a name."""
    @property
    def signature(self) -> Signature | None: ...

class RemoteFunction:
    """Base of whipray's RemoteFunction; subclass it in Python. `.remote(*args, **kwargs)` checks,
    encodes, submits: one ref for num_returns 1, None for 0, a list for more, generator_class(ref)
    for RETURNS_STREAM. Calling the object raises call_refused. Plain attributes are stored as
    given; changing num_returns, max_retries, flags, window or extra takes effect at the next
    call."""

    _function: Any
    _options: Any
    _sig: Sig | None
    _num_returns: int
    _max_retries: int
    _flags: int
    _window: int
    """RETURNS_STREAM: items in flight; 0: the default."""
    _extra: bytes | None
    """Travels with each call to the worker, which decodes it by hook call_extra; None costs
    nothing."""

    def __init__(
        self,
        function: Any,
        sig: Sig | None,
        options: Any = None,
        *,
        num_returns: int = 1,
        max_retries: int = 3,
        flags: int = 0,
        window: int = 0,
        extra: bytes | None = None,
    ) -> None: ...
    def remote(self, *args: Any, **kwargs: Any) -> Any: ...
    def _bind(self, *, function: int, port: int, ring: int, generation: int) -> None:
        """Valid until the session ends or `_unbind`. generation: of the port; 0: not checked."""
    def _unbind(self) -> None: ...
    @property
    def _bound(self) -> tuple[int, int, int] | None:
        """(function, port, ring) when bound in this session."""
    def _clone(self) -> RemoteFunction:
        """Same type, same attributes (dict copied), not bound: for .options()."""
    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As remote, from a tuple and a dict."""

def submit(
    function: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    sig: Sig | None = None,
    port: int = 0,
    ring: int = 0,
    num_returns: int = 1,
    max_retries: int = 0,
    flags: int = 0,
    extra: bytes | None = None,
) -> Any:
    """Submits by numbers; with CALL_PARKED an actor's constructor (port 0): returns its ref."""

@final
class ActorCore:
    """What a handle and its methods share: the life of the handle. `ref` None: a weak handle."""

    def __init__(self, handle: int, ref: ObjectRef[Any] | None, extra: Any = None) -> None: ...
    @property
    def handle(self) -> int: ...
    @property
    def ref(self) -> ObjectRef[Any] | None: ...
    extra: Any
    """Anything of the Python half (class meta, actor id ...)."""
    def bind(self, *, port: int, ring: int, generation: int) -> None:
        """Valid until the session ends. generation: of the port (0: not checked): a call that comes
        when the port is another's ends as ActorDiedError and reaches nobody."""
    def unbind(self) -> None: ...
    @property
    def bound(self) -> tuple[int, int] | None: ...

class ActorHandle:
    """Base of whipray's ActorHandle. methods: name -> (index, Sig | None, num_returns,
    max_retries, flags, extra) or a shorter tuple (index, Sig | None); the defaults are 1, 0, 0,
    None. `handle.name` makes the method at first use and keeps it in the handle's dict. A name
    that is neither attribute nor method: AttributeError."""

    def __init__(self, core: ActorCore, methods: dict[str, tuple[Any, ...]]) -> None: ...
    @property
    def _core(self) -> ActorCore: ...
    @property
    def _methods(self) -> dict[str, tuple[Any, ...]]: ...

class ActorMethod:
    """A method of an actor; holds the core, never the handle. `.remote` as RemoteFunction's."""

    _name: str
    _index: int
    _sig: Sig | None
    _num_returns: int
    _max_retries: int
    _flags: int
    _window: int
    _extra: bytes | None

    @property
    def _core(self) -> ActorCore: ...
    def remote(self, *args: Any, **kwargs: Any) -> Any: ...
    def options(self, **options: Any) -> ActorMethod: ...
    def _clone(self) -> ActorMethod: ...
    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

class ObjectRefGenerator:
    """Base of whipray's ObjectRefGenerator; not thread-safe. Iteration blocks (GIL released,
    Ctrl-C works) until the next item exists. An error of the task is one extra ref, then
    StopIteration."""

    def __init__(self, ref: ObjectRef[Any]) -> None: ...
    def __iter__(self) -> ObjectRefGenerator: ...
    def __next__(self) -> ObjectRef[Any]: ...
    def _next_sync(self, timeout_s: float | None = None) -> ObjectRef[Any]:
        """The next ref; ObjectRef.nil() on timeout; StopIteration at the end. timeout_s None or
        -1: no limit."""
    def _try_next(self) -> ObjectRef[Any] | None:
        """Without blocking: None when nothing is known yet; StopIteration at the end."""
    def next_ready(self) -> bool:
        """Whether next would not block; False once `is_finished`."""
    def is_finished(self) -> bool: ...
    def completed(self) -> ObjectRef[Any]: ...
    def _close(self) -> None:
        """Drops unread items and stops the producer; also done when the object dies."""

# ---- Worker ------------------------------------------------------------------------------------

@final
class Task:
    """A claimed task. Seal it once: run, finish, fail, or retry. One that is dropped unsealed
    fails with INTERNAL, unless abandon() was called (the process is about to exit; the raylet
    sees a death)."""

    @property
    def handle(self) -> int: ...
    @property
    def id(self) -> bytes:
        """24 bytes of the TaskID."""
    @property
    def function(self) -> int:
        """Function number, or METHOD | index."""
    @property
    def name(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def max_retries(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def num_returns(self) -> int: ...
    @property
    def lane(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def caller_slot(self) -> int: ...
    @property
    def extra(self) -> Any: ...
    @property
    def sealed(self) -> bool: ...
    @property
    def callable(self) -> Any:
        """load_function(function)[0], or the bound method."""
    def args(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decoded arguments; a failed argument raises its error (then call fail with it). What
        they lend ends with the task."""
    def run(self) -> Any:
        """Calls, drives a generator of a streaming call and, unless the result is a coroutine or
        an async generator (returned as it is), finishes: DONE. A failed argument or an exception
        seals the task: DONE. SystemExit and cancellation propagate as in run_worker."""
    def step(self, coroutine: Any) -> Any:
        """Eager first step (PyIter_Send): DONE when it ended (sealed), else what it yielded."""
    def enter(self) -> None:
        """Makes this the current task of this thread (run and step do so themselves) ..."""
    def leave(self) -> None:
        """... and no longer."""
    def finish(self, value: Any) -> bool:
        """Seals with the value, or its num_returns items. False: the claim had been taken away."""
    def fail(self, error: BaseException) -> bool:
        """Seals with pack_error(error); retries first if the call asks for it."""
    def fail_system(self, status: str, text: str, hint: str = "") -> bool:
        """Seals with a Whipray error, e.g. "CANCELLED"."""
    def retry(self) -> bool:
        """Gives the task back to be run again. False: no retries left: seal it. An actor's call
        comes back by the next take on its own lane, before all others."""
    def yield_item(self, value: Any, wait: bool = True) -> int:
        """Streaming: seals the next item. 0 done; 1 no room yet (only with wait False); 2 the
        consumer is gone: stop."""
    def abandon(self) -> None: ...

def run_worker() -> int:
    """Takes and runs tasks on lane 0 until NEXT_EXIT or NEXT_DEAD (returned). SystemExit of user
    code propagates with its task unsealed (the caller exits). A KeyboardInterrupt while
    cancel_wanted() names the running task seals it as cancelled; otherwise it is an error of the
    task."""

def assigned(word: int) -> None:
    """What op "assignment" answered in "word": words up to this one are followed already."""

def run_lane(lane: int) -> int:
    """The same for one thread of a threaded actor; returns NEXT_ASSIGNMENT, too, instead of
    calling the hook."""

def take(lane: int) -> Task | int:
    """The next task, or NEXT_*; never blocks."""

def claim(handle: int, lane: int = 0) -> Task | None:
    """An actor's parked constructor; None: its arguments are not ready. One that was sealed by an
    earlier life comes with .sealed True: .args() still works, finish and fail do nothing."""

def set_methods(methods: list[tuple[Callable[..., Any], str] | None]) -> None:
    """The actor's bound methods and names by index; [] forgets them."""

def idle(spin_us: int = 50) -> None:
    """Waits (GIL released) until take may have something, at most 100 ms; then looks at signals."""

def current_task() -> Task | None:
    """The task that this thread runs."""

def current_task_id() -> bytes | None:
    """Its 24 bytes."""

def cancel_wanted() -> int:
    """Handle of the task that somebody asked this worker to cancel; 0: none. Safe in signal
    handlers."""

def cancel_children(handle: int) -> list[int]:
    """Ends what the running task `handle` submitted and nobody has begun; returns the handles of
    what runs. Actors that it made are not among them."""

def flush() -> bool:
    """Queues what overflowed a full ring; True: something is left. Waits, submits, worker loops
    and, in a driver, a thread of the extension call it every 100 ms: nobody has to."""

# ---- Codec, for tests and for reading stored bytes ---------------------------------------------

@final
class Sink:
    """Where pickling writes; made by the extension only."""

    def write(self, data: Any) -> int: ...
    def buffer(self, buffer: Any) -> bool: ...
    def reduce(self, obj: Any) -> Any: ...

def _encode_decode(value: Any) -> Any:
    """Encodes and decodes without a session (refs refused)."""

def _decode(stream: bytes, buffers: list[bytes] = ...) -> Any:
    """Decodes a stream as if it came from the pool; any bytes: a value or ValueError, never a
    crash."""

def _decode_args(
    stream: bytes, buffers: list[bytes] = ...
) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
def _encode_args(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, list[bytes]]: ...
def _encode(value: Any) -> tuple[bytes, list[bytes]]: ...
def _tick(session: int) -> None:
    """Body of the driver's housekeeping thread (see flush); `connect` starts it."""

def _after_fork() -> None:
    """Run in every forked child: the session and tool connections are dead there."""
