"""Reading a pickled checkpoint of YOLOv5 or of ultralytics without running any of its code.

Such a file is a pickle of whole Python objects (`models.yolo.DetectionModel` and all that hangs on it), and a pickle
may call whatever it names. Here a name means one of four things: a harmless constructor of tensors and containers, an
inert value, a stand-in for a class of the model, which keeps the object's attributes and has no behaviour, or a
refusal. No foreign module is imported, no constructor of a foreign class is called.
"""

from __future__ import annotations

import pickle
import tarfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from models.budget import current_budget
from models.errors import WeightsError

# Where YOLOv5's classes, and those of forks and packages of it, live.
_MODEL_NAMESPACES = ("models.", "utils.", "torch.nn.", "yolov5.", "ultralytics.")
_MODEL_CLASSES = {("argparse", "Namespace"), ("types", "SimpleNamespace")}
# Namespaces of options, which pickle makes by a call without arguments. Theirs gives an empty stand-in.
_NAMESPACES = {"IterableSimpleNamespace", "SimpleNamespace"}
_CONTAINERS: dict[str, type] = {"set": set, "frozenset": frozenset, "dict": dict, "list": list, "tuple": tuple}
# Values that lie beside the weights (paths, NumPy figures of the training). Nothing is made of them.
_INERT = {
    "_codecs": {"encode"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "numpy": {"dtype", "ndarray", "float64", "float32", "int64", "int32", "bool_"},
    "numpy.core.multiarray": {"scalar", "_reconstruct"},
    "torch": {"device", "Tensor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "builtins": {"bool", "bytearray", "complex", "float", "int", "long", "range", "slice", "str", "unicode", "xrange"},
}
_INERT["__builtin__"] = _INERT["builtins"]  # as Python 2 calls it, and so the protocol that torch writes
_INERT["pathlib._local"] = _INERT["pathlib"]
_INERT["numpy._core.multiarray"] = _INERT["numpy.core.multiarray"]

_MOST_TENSORS = 100_000
_ZIP = b"PK\x03\x04"
# Where activations without weights live, and which of their attributes are part of the function.
_ACTIVATIONS = ("torch.nn.modules.activation", "utils.activations")
_ACTIVATION_ARGUMENTS = {"LeakyReLU": "negative_slope", "ELU": "alpha", "CELU": "alpha"}
# Blocks that have a BatchNorm, until they are fused.
_CONV_BLOCKS = {"Conv", "DWConv"}


class RefusedError(Exception):
    """The file asks for something that could run code; the text says what."""


class _NoCalls(type):
    """Metaclass of stand-ins: pickle makes an object with `__new__`; calling the class is what code would do."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__name__ in _NAMESPACES and not args:
            return object.__new__(cast(Any, cls))
        raise RefusedError(f"it calls {cls.__module__}.{cls.__qualname__}")


class StandIn(metaclass=_NoCalls):
    """Stands for an object of a foreign class: its attributes as plain data in `state`, and nothing else."""

    __slots__ = ("state",)
    state: dict[str, Any]

    def __new__(cls, *args: Any) -> StandIn:
        if args:
            raise RefusedError(f"it calls {cls.__module__}.{cls.__qualname__}")
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        self.state = {**_as_dict(attributes), **_as_dict(slots)}

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute of the object that this one stands for."""
        return getattr(self, "state", {}).get(name, default)


class _Constructor:
    """A function that a pickle may call. Unlike a plain function, a pickle cannot set attributes on it."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"it changes {name!r} of a function")

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("it changes a function")


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    # The last arguments are hooks, that is to say functions.
    return torch._utils._rebuild_tensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise RefusedError("it makes a parameter of something that is no tensor")
    return data


def _rebuild_from_type(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor that somebody gave attributes to, which are left out."""
    if function not in (_TENSORS["torch._utils", "_rebuild_tensor_v2"], _TENSORS["torch._utils", "_rebuild_parameter"]):
        raise RefusedError("it makes a tensor in an unknown way")
    return function(*arguments)


def _attribute(owner: Any, name: Any, *_: Any) -> StandIn:
    """Stands for a method of an object, as fused models keep one, or a constant of a class. Nothing is looked up."""
    if not isinstance(owner, StandIn | _NoCalls) or not isinstance(name, str):
        raise RefusedError("it looks an attribute up")
    return StandIn.__new__(StandIn)


_TENSORS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _Constructor(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Constructor(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Constructor(_rebuild_parameter),
    # the same for those with attributes
    ("torch._utils", "_rebuild_parameter_with_state"): _Constructor(_rebuild_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): _Constructor(_rebuild_from_type),
    ("torch", "Size"): _Constructor(tuple),
    ("collections", "OrderedDict"): OrderedDict,
    # what is done with them afterwards, such as filling them, needs a container
    ("collections", "defaultdict"): _Constructor(lambda *_: {}),
    ("collections", "Counter"): _Constructor(lambda *_: {}),
    ("collections", "deque"): _Constructor(lambda *_: []),
}


class _Unpickler(pickle._Unpickler):
    """Knows the names above and refuses every other one.

    The one in Python: the memo of the one in C is a list, which a number in the file makes as long as it likes.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _TENSORS:
            return _TENSORS[module, name]
        if module in ("builtins", "__builtin__") and name in _CONTAINERS:
            return _CONTAINERS[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module in ("builtins", "__builtin__") and name == "getattr":
            return _Constructor(_attribute)
        if name in _INERT.get(module, ()):
            return _Constructor(lambda *_: StandIn.__new__(StandIn))
        if module.startswith(_MODEL_NAMESPACES) or (module, name) in _MODEL_CLASSES:
            return _NoCalls(name, (StandIn,), {"__slots__": (), "__module__": module, "__qualname__": name})
        raise RefusedError(f"it names {module}.{name}")


def read_foreign(path: Path) -> dict[str, Any]:
    """The content of a pickled checkpoint: containers, tensors on the CPU, and `StandIn` objects.

    Raises:
        WeightsError: the file would run code, or it is damaged, or not a file of torch.save.
    """
    reader = SimpleNamespace(__name__="restricted", Unpickler=_Unpickler, load=_load)
    try:
        _check_container(path)
        with warnings.catch_warnings():
            # About the source code of classes, which the legacy format carries along and which is not looked at.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
    except RefusedError as reason:
        raise WeightsError(
            f"{path}: it is not loaded, since it might run code: {reason}; use a checkpoint of this project, of "
            "YOLOv5 v5.0 to v7.0, or of ultralytics"
        ) from None
    except Exception as error:
        # Damaged bytes make readers raise almost anything, depending on where they stumble.
        raise WeightsError(f"{path}: not a checkpoint, or damaged ({_first_line(error)}); get it again") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds no checkpoint but a {type(content).__name__}; save {{'model': ...}}")
    return content


@dataclass(frozen=True)
class ModuleContent:
    """What of a pickled module makes it compute what it does.

    Attributes:
        state: the state dict, with the keys that torch would give it: tensors of the file, on the CPU, without
            gradients and in the file's types.
        activations: by path, class of the block that it belongs to, and text of each activation, such as
            `nn.LeakyReLU(0.1)`. The program's code decides about them, not only the YAML.
        folded: paths, with their final dot, of convolution blocks without BatchNorm.
    """

    state: dict[str, Tensor]
    activations: dict[str, tuple[str, str]]
    folded: list[str]


def module_content(module: StandIn) -> ModuleContent:
    """The content of the module that a stand-in stands for.

    Raises:
        ValueError: a module contains itself, or there are too many tensors.
        BudgetError: it has more modules than a model may have.
    """
    state: dict[str, Tensor] = {}
    activations: dict[str, tuple[str, str]] = {}
    folded: list[str] = []
    for prefix, part in _modules(module):
        state.update({f"{prefix}{name}": tensor for name, tensor in _own_tensors(part)})
        activations.update({f"{prefix}{name}": found for name, found in _own_activations(part)})
        if _is_folded(part):
            folded.append(prefix)
        if len(state) > _MOST_TENSORS:
            raise ValueError(f"more than {_MOST_TENSORS:,} tensors")
    return ModuleContent(state, activations, folded)


def _own_tensors(part: StandIn) -> Iterator[tuple[str, Tensor]]:
    """Parameters and saved buffers of a module by name, without those of the modules in it."""
    absent = part.get("_non_persistent_buffers_set") or ()
    for name, value in {**_as_dict(part.get("_parameters")), **_as_dict(part.get("_buffers"))}.items():
        if isinstance(value, Tensor) and name not in absent:
            yield name, value.detach()


def _own_activations(part: StandIn) -> Iterator[tuple[str, tuple[str, str]]]:
    """By name, the activations of a block, each with the block's class; one that was left out is `nn.Identity()`."""
    for name, child in _as_dict(part.get("_modules")).items():
        if not isinstance(child, StandIn):
            continue
        kind = type(child).__name__
        if type(child).__module__.endswith(_ACTIVATIONS):
            argument = child.get(_ACTIVATION_ARGUMENTS.get(kind, ""), "")
            argument = argument if isinstance(argument, int | float) else ""
            yield name, (type(part).__name__, f"nn.{kind}({argument})")
        elif name == "act" and kind == "Identity":
            yield name, (type(part).__name__, "nn.Identity()")


def _is_folded(part: StandIn) -> bool:
    """Whether this is a convolution block whose BatchNorm went into its kernel."""
    modules = _as_dict(part.get("_modules"))
    return type(part).__name__ in _CONV_BLOCKS and "conv" in modules and "bn" not in modules


def _modules(module: StandIn) -> Iterator[tuple[str, StandIn]]:
    """A module and all in it, with their prefixes; one that hangs in two places comes twice.

    Raises:
        ValueError: a module contains itself.
        BudgetError: they are more than a model may have.
    """
    for count, found in enumerate(_walk(module, "", ()), start=1):
        current_budget().check("modules", count, "{} modules or more")
        yield found


def _walk(module: StandIn, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, StandIn]]:
    if id(module) in above:
        raise ValueError("a module contains itself")
    yield prefix, module
    for name, child in _as_dict(module.get("_modules")).items():
        if isinstance(child, StandIn):
            yield from _walk(child, f"{prefix}{name}.", (*above, id(module)))


def _check_container(path: Path) -> None:
    """Leaves out the formats for which torch has other readers than its unpickler.

    Archives are recognised and listed as torch does it: a file may look like one thing to one reader and like another
    thing to the next.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    if is_zip and "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        raise RefusedError("it is a TorchScript program")
    if not is_zip and tarfile.is_tarfile(path):
        raise RefusedError("it is a tar archive, as torch before 0.1.10 wrote them")


def _load(file: Any, **kwargs: Any) -> Any:
    return _Unpickler(file, **kwargs).load()


def _as_dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):  # of a number: a byte that begins nothing in a pickle
        return "it is no file of torch.save"
    return (str(error).splitlines() or [type(error).__name__])[0]
