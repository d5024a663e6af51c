"""A small Python half for the extension's tests: whipray's own hooks, in their simplest form."""

import hashlib
import inspect
import os
import pickle
import traceback

import cloudpickle
from whipray import _core


class SystemFailure(Exception):
    """A Whipray error: status, text, hint."""

    def __init__(self, status, text, hint=""):
        super().__init__(f"{status}: {text}")
        self.status, self.text, self.hint = status, text, hint


class TaskFailure(Exception):
    """An exception of user code: the name of the task, its traceback, the cause."""

    def __init__(self, name, text, cause):
        super().__init__(text)
        self.name, self.text, self.cause = name, text, cause


def task_error(payload):
    if payload[0] is None:
        return SystemFailure(*payload[1:])
    name, text, cause = payload
    return TaskFailure(name, text, pickle.loads(cause))


def pack_error(error, name):
    if name is None:
        return (None, error.status, error.text)
    if isinstance(error, TaskFailure):
        return (error.name, error.text, pickle.dumps(error.cause))
    text = "".join(traceback.format_exception(error))
    try:
        cause = cloudpickle.dumps(error)
    except Exception:
        cause = pickle.dumps(RuntimeError(repr(error)))
    return (name or "", text, cause)


class _Pickler(cloudpickle.Pickler):
    def __init__(self, sink):
        super().__init__(sink, protocol=5, buffer_callback=sink.buffer)
        self.sink = sink

    def reducer_override(self, obj):
        reduced = self.sink.reduce(obj)
        return super().reducer_override(obj) if reduced is NotImplemented else reduced


def cloud_dump(sink, value):
    _Pickler(sink).dump(value)


def request(op, **fields):
    return _core.unpack(_core.call(op, _core.pack(fields)))


def export(function):
    encoded = _core.encode(function, by_value=True)
    ref = encoded.put()
    return request(
        "function_export",
        digest=hashlib.sha256(encoded.stream).digest(),
        ref=_core.share(ref),
        name=getattr(function, "__name__", ""),
        meta=b"",
    )["function"]


_numbers = {}


def resolve_function(function):
    key = (_core.session(), id(function._function))
    if key not in _numbers:
        _numbers[key] = export(function._function), function._function  # keeps the id taken
    opened = request("class_open", resources={"CPU": 1.0})
    function._bind(
        function=_numbers[key][0],
        port=opened["port"],
        ring=opened["ring"],
        generation=opened["generation"],
    )


def resolve_actor(core):
    opened = request("port_open", port=core.extra)
    core.bind(port=opened["port"], ring=opened["ring"], generation=opened["generation"])


def load_function(number):
    answer = request("function_get", function=number)
    function = _core.get(_core.ref_from_handle(answer["ref"]))
    max_calls = getattr(function, "max_calls", 0)
    return function, getattr(function, "__name__", "?"), max_calls


def assignment():
    answer = request("assignment")
    if answer["kind"] == "actor":
        number, ctor = map(int, os.environ["ACTOR"].split())
        while (task := _core.claim(ctor)) is None:
            pass
        args, kwargs = task.args()
        instance = load_function(number)[0](*args, **kwargs)
        del args, kwargs
        names = [n for n in dir(type(instance)) if not n.startswith("__")]
        _core.set_methods(
            [(getattr(instance, n), f"{type(instance).__name__}.{n}") for n in sorted(names)]
        )
        task.finish(None)
        main = getattr(instance, "serve", None)
        if main is not None:
            return main()
    return False


def should_retry(error, extra):
    return extra is None or isinstance(error, extra)


def remote(function, **options):
    class_ = options.pop("base", _core.RemoteFunction)
    return class_(function, _core.Sig(inspect.signature(function)), None, **options)


HOOKS = {
    "system_error": SystemFailure,
    "timeout_error": lambda missing, text: SystemFailure("TIMEOUT", text),
    "task_error": task_error,
    "pack_error": pack_error,
    "auto_init": None,
    "resolve_function": resolve_function,
    "resolve_actor": resolve_actor,
    "method_options": None,
    "call_refused": lambda what: TypeError("use .remote()"),
    "cloud_dump": cloud_dump,
    "await_ref": None,
    "future_of": None,
    "on_completed": None,
    "generator_class": None,
    "method_class": None,
    "load_function": load_function,
    "call_extra": pickle.loads,
    "should_retry": should_retry,
    "assignment": assignment,
    "max_calls_reached": lambda: None,
}


def set_hooks():
    _core.set_hooks(**HOOKS)
