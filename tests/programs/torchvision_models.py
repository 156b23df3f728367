"""torchvision's networks for classification, made of its own source by PyTorch and by gpunn.

``python -m tests.programs.torchvision_models FOLDER`` compares them all, or those named behind it; FOLDER has
torchvision's source. A network is a small one of its family, with ``--published`` one of those that torchvision has
weights for. Of the small alexnet and vgg the last layers have fewer units, as where one fine-tunes.
"""

from __future__ import annotations

import enum
import importlib
import itertools
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .reading import Finder

CLASSES = 3


class Source:
    """torchvision's modules, with `torch` read as a library: ``source.resnet.ResNet``."""

    def __init__(self, folder: Path, library: str):
        self.library: Any = importlib.import_module(library)
        self._name = f"torchvision_by_{library}"
        for module in ("", ".models", ".ops", ".transforms"):
            found = sys.modules[self._name + module] = ModuleType(self._name + module)
            found.__path__ = [str(folder.joinpath(*module.split(".")[1:]))]
        # What asks for more than classification needs is left out: images, downloads, PyTorch's count of calls.
        self._without("utils", _log_api_usage_once=lambda obj: None, _make_ntuple=_repeated)
        self._without("transforms._presets", ImageClassification=object, InterpolationMode=_Modes)
        self._without("_internally_replaced_utils", load_state_dict_from_url=None)
        names = {"torch": library, "torchvision": self._name}
        self._finder: Any = Finder(self._name, folder, names)
        sys.meta_path.insert(0, self._finder)
        depth = importlib.import_module(f"{self._name}.ops.stochastic_depth")
        sys.modules[f"{self._name}.ops"].StochasticDepth = depth.StochasticDepth  # type: ignore[attr-defined]

    def _without(self, name: str, **values: Any) -> None:
        """A module that has these values alone."""
        module = sys.modules[f"{self._name}.{name}"] = ModuleType(name)
        vars(module).update(values)

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(f"{self._name}.models.{name}")


def _repeated(x: Any, n: int) -> tuple[Any, ...]:
    return tuple(x) if hasattr(x, "__iter__") else tuple(itertools.repeat(x, n))


class _Modes(enum.Enum):
    BILINEAR, BICUBIC = "bilinear", "bicubic"


def _alexnet(s: Any) -> Any:
    nn = s.library.nn
    with s.library.device("meta"):  # the layers that are replaced have 57 million weights
        model = s.alexnet.AlexNet(dropout=0.0)
        model.classifier[1], model.classifier[4] = nn.Linear(256 * 36, 8), nn.Linear(8, 8)
        model.classifier[6] = nn.Linear(8, CLASSES)
    return model.to_empty(device="cpu")


def _vgg(s: Any, batch_norm: bool) -> Any:
    nn = s.library.nn
    with s.library.device("meta"):
        features = s.vgg.make_layers([8, "M", 16, 16, "M", 512, "M"], batch_norm=batch_norm)
        model = s.vgg.VGG(features, init_weights=False, dropout=0.0)
        model.classifier[0], model.classifier[3] = nn.Linear(512 * 49, 8), nn.Linear(8, 8)
        model.classifier[6] = nn.Linear(8, CLASSES)
    return model.to_empty(device="cpu")


def _convnext(s: Any) -> Any:
    block = s.convnext.CNBlockConfig
    settings = [block(8, 12, 1), block(12, 16, 2), block(16, None, 1)]
    return s.convnext.ConvNeXt(settings, layer_scale=0.5, num_classes=CLASSES)


def _densenet(s: Any) -> Any:
    return s.densenet.DenseNet(4, (2, 3, 2), 8, bn_size=2, num_classes=CLASSES)


def _efficientnet(s: Any) -> Any:
    block = partial(s.efficientnet.MBConvConfig, width_mult=1.0, depth_mult=1.0)
    settings = [block(1, 3, 1, 8, 8, 1), block(4, 5, 2, 8, 16, 2)]
    return s.efficientnet.EfficientNet(settings, 0.0, 0.0, num_classes=CLASSES)


def _efficientnet_v2(s: Any) -> Any:
    m = s.efficientnet
    settings = [
        m.FusedMBConvConfig(1, 3, 1, 8, 8, 1),
        m.FusedMBConvConfig(4, 3, 2, 8, 8, 1),
        m.MBConvConfig(4, 3, 2, 8, 16, 1),
    ]
    norm = partial(s.library.nn.BatchNorm2d, eps=1e-03)
    return m.EfficientNet(settings, 0.0, 0.0, num_classes=CLASSES, norm_layer=norm, last_channel=24)


def _googlenet(s: Any) -> Any:
    return s.googlenet.GoogLeNet(CLASSES, init_weights=False, dropout=0.0, dropout_aux=0.0)


def _inception(s: Any) -> Any:
    return s.inception.Inception3(CLASSES, aux_logits=False, init_weights=False, dropout=0.0)


def _maxvit(s: Any) -> Any:
    return s.maxvit.MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 4, 0.0, num_classes=CLASSES)


def _mobilenet_v2(s: Any) -> Any:
    settings = [[1, 16, 1, 1], [6, 24, 2, 2]]
    return s.mobilenetv2.MobileNetV2(CLASSES, 0.25, settings, dropout=0.0)


def _mobilenet_v3(s: Any) -> Any:
    block = partial(s.mobilenetv3.InvertedResidualConfig, width_mult=1.0)
    settings = [block(8, 3, 8, 8, True, "RE", 2, 1), block(8, 5, 16, 8, False, "HS", 1, 2)]
    return s.mobilenetv3.MobileNetV3(settings, 16, CLASSES, dropout=0.0)


def _regnet(s: Any) -> Any:
    params = s.regnet.BlockParams.from_init_params(depth=5, w_0=8, w_a=8.0, w_m=2.5, group_width=4, se_ratio=0.25)
    return s.regnet.RegNet(params, CLASSES, stem_width=8)


def _resnet(s: Any, block: str, **options: Any) -> Any:
    return s.resnet.ResNet(getattr(s.resnet, block), [1, 1, 1, 1], CLASSES, **options)


def _swin(s: Any, version: int) -> Any:
    m = s.swin_transformer
    options = {"block": m.SwinTransformerBlockV2, "downsample_layer": m.PatchMergingV2} if version == 2 else {}
    return m.SwinTransformer(
        [4, 4], 8, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=CLASSES, **options
    )


def _vit(s: Any) -> Any:
    return s.vision_transformer.VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=CLASSES)


FAMILIES: dict[str, tuple[Callable[[Any], Any], int]] = {
    # how its network is made, and the side of an image that is small enough
    "alexnet": (_alexnet, 63),
    "convnext": (_convnext, 32),
    "densenet": (_densenet, 32),
    "efficientnet": (_efficientnet, 16),
    "efficientnet_v2": (_efficientnet_v2, 16),
    "googlenet": (_googlenet, 32),
    "inception_v3": (_inception, 75),
    "maxvit": (_maxvit, 32),
    "mnasnet": (lambda s: s.mnasnet.MNASNet(0.25, CLASSES, dropout=0.0), 32),
    "mobilenet_v2": (_mobilenet_v2, 16),
    "mobilenet_v3": (_mobilenet_v3, 16),
    "regnet": (_regnet, 32),
    "resnet": (partial(_resnet, block="BasicBlock"), 32),
    "resnext": (partial(_resnet, block="Bottleneck", groups=8, width_per_group=4), 32),
    "wide_resnet": (partial(_resnet, block="Bottleneck", width_per_group=32), 32),
    "shufflenet_v2": (lambda s: s.shufflenetv2.ShuffleNetV2([1, 2, 1], [8, 16, 16, 16, 32], CLASSES), 32),
    "squeezenet": (lambda s: s.squeezenet.SqueezeNet("1_1", CLASSES, dropout=0.0), 32),
    "swin": (partial(_swin, version=1), 32),
    "swin_v2": (partial(_swin, version=2), 32),
    "vgg": (partial(_vgg, batch_norm=False), 16),
    "vgg_bn": (partial(_vgg, batch_norm=True), 16),
    "vit": (_vit, 16),
}


PUBLISHED: dict[str, tuple[str, int, dict[str, Any]]] = {
    # the file of its family, the side of an image, and its options
    "alexnet": ("alexnet", 63, {}),
    "convnext_tiny": ("convnext", 64, {}),
    "densenet121": ("densenet", 64, {}),
    "efficientnet_b0": ("efficientnet", 64, {}),
    "efficientnet_v2_s": ("efficientnet", 64, {}),
    "googlenet": ("googlenet", 64, {"init_weights": False}),
    "inception_v3": ("inception", 299, {"init_weights": False}),
    "maxvit_t": ("maxvit", 224, {}),
    "mnasnet0_5": ("mnasnet", 64, {}),
    "mobilenet_v2": ("mobilenetv2", 64, {}),
    "mobilenet_v3_small": ("mobilenetv3", 64, {}),
    "regnet_y_400mf": ("regnet", 64, {}),
    "resnet18": ("resnet", 64, {}),
    "resnext50_32x4d": ("resnet", 64, {}),
    "wide_resnet50_2": ("resnet", 64, {}),
    "shufflenet_v2_x0_5": ("shufflenetv2", 64, {}),
    "squeezenet1_1": ("squeezenet", 64, {}),
    "swin_t": ("swin_transformer", 64, {}),
    "swin_v2_t": ("swin_transformer", 64, {}),
    "vgg11": ("vgg", 32, {"init_weights": False}),
    "vgg11_bn": ("vgg", 32, {"init_weights": False}),
    "vit_b_32": ("vision_transformer", 64, {"image_size": 64}),
}

TOLERANCE = {"mobilenet_v3": 1e-7, "mobilenet_v3_small": 1e-7}
"""Where it is not 1e-9: PyTorch's gradient of hardsigmoid has 1/6 in float32, in float64 too."""


def network(source: Source, name: str, published: bool) -> tuple[Any, int]:
    """A network that drops nothing out, and the side of its images."""
    if not published:
        build, side = FAMILIES[name]
        return build(source), side
    file, side, options = PUBLISHED[name]
    model = getattr(getattr(source, file), name)(num_classes=CLASSES, **options)
    for module in model.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.p = 0.0
    return model, side


def weights(model: Any) -> dict[str, np.ndarray]:
    """Numbers for all that a model's state_dict has, the same ones in both libraries; not for its indices."""
    rng, found = np.random.default_rng(0), {}
    for key, value in model.state_dict().items():
        shape = tuple(value.shape)
        numbers = rng.standard_normal(shape)
        if key.endswith("num_batches_tracked"):
            found[key] = np.zeros(shape, np.int64)
        elif "float" not in str(value.dtype):
            continue
        elif key.endswith("running_var"):
            found[key] = 0.5 + rng.random(shape)
        elif len(shape) > 1:
            found[key] = numbers * (2 / np.prod(shape[1:])) ** 0.5
        else:
            found[key] = (1.0 if key.endswith("weight") else 0.0) + 0.1 * numbers
    return found


def run(source: Source, name: str, published: bool = False) -> dict[str, np.ndarray]:
    """What a step in training gives and leaves, by its names: outputs, loss, gradients, buffers; then a prediction."""
    library = source.library
    model, side = network(source, name, published)
    model = model.double()
    state = model.state_dict()
    for key, numbers in weights(model).items():
        state[key] = library.tensor(numbers)
    model.load_state_dict(state)
    rng = np.random.default_rng(1)
    x, target = library.tensor(rng.standard_normal((3, 3, side, side))), library.tensor([0, 2, 1])
    outputs = model.train()(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = sum(library.nn.functional.cross_entropy(y, target) for y in outputs if y is not None)
    loss.backward()
    found = {f"output {i}": y.detach().numpy() for i, y in enumerate(outputs) if y is not None}
    found["loss"] = loss.detach().numpy()
    found |= {f"gradient of {name}": p.grad.numpy() for name, p in model.named_parameters()}
    found |= {f"buffer {name}": b.numpy() for name, b in model.named_buffers()}
    with library.no_grad():
        found["prediction"] = model.eval()(x).numpy()
    return found


def compare(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float) -> float:
    """The largest difference, relative to the largest number of each array; gradients to those of all.

    Raises:
        AssertionError: names, shapes or types differ, or numbers by more than the tolerance.
    """
    assert list(ours) == list(theirs)
    largest = max(np.abs(a).max() for name, a in theirs.items() if name.startswith("gradient"))
    worst = 0.0
    for name, b in theirs.items():
        a = ours[name]
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name
        scale = max(np.abs(b).max(initial=0), largest if name.startswith("gradient") else 1e-30)
        difference = np.abs(a - b).max(initial=0) / scale
        assert difference <= tolerance, f"{name}: {difference}"
        worst = max(worst, difference)
    return worst


if __name__ == "__main__":
    published = "--published" in sys.argv
    folder, *named = [word for word in sys.argv[1:] if word != "--published"]
    theirs, ours = (Source(Path(folder), library) for library in ("torch", "gpunn"))
    for name in named or (PUBLISHED if published else FAMILIES):
        begun = time.process_time()
        expected, middle = run(theirs, name, published), time.process_time()
        try:
            print(name, f"{compare(run(ours, name, published), expected, TOLERANCE.get(name, 1e-9)):.1e}", end=" ")
        except Exception as error:
            print(name, type(error).__name__, str(error)[:200], end=" ")
        print(f"{middle - begun:.2f} s by PyTorch, {time.process_time() - middle:.2f} s by gpunn", flush=True)
