"""A derivation written by hand: two layers, softmax and cross-entropy, with its numbers from NumPy in float64."""

import numpy as np

from gpunn.inspect.explain.derivation import Derivation, Finding, Formula, Statistics, Step, Variable

HOSTILE = "<script>alert(1)</script>\"'&"
LINEAR, RELU, LOSS = "LinearActivation", "Activation", "SoftmaxCrossEntropy"
STEPS = [  # phase, op, of layer 1 or not, title, what it reads and makes, the step that it is the gradient of, bytes
    ("forward", LINEAR, True, "Affine map", "X W1 b1", "Z1", None, 160),
    ("forward", RELU, True, "ReLU", "Z1", "A1", None, 320),
    ("forward", LINEAR, False, "Affine map", "A1 W2 b2", "Z2", None, 384),
    ("forward", LOSS, False, "Softmax and cross-entropy", "Z2 y", "L m", None, 424),
    ("backward", "Full", False, "Start", "", "dL", None, 432),
    ("backward", LOSS, False, "Gradient of the loss", "dL Z2 y m", "dZ2", 4, 496),
    ("backward", LINEAR, False, "Gradient of the affine map", "dZ2 A1 W2", "dA1 dW2 db2", 3, 700),
    ("backward", RELU, True, "Gradient of ReLU", "dA1 Z1", "dZ1", 2, 640),
    ("backward", LINEAR, True, "Gradient of the affine map", "dZ1 X", "dW1 db1", 1, 520),
    ("update", "SGD", False, "SGD step", "dW1 db1 dW2 db2", "", None, 300),
]
ROLES = {"X": "input", "y": "target", "L": "loss", **dict.fromkeys(("W1", "b1", "W2", "b2"), "parameter")}


def values():
    """X (4 x 3) -> Z1 = X W1^T + b1 -> A1 = ReLU(Z1) -> Z2 = A1 W2^T + b2 -> L, and back."""
    rng = np.random.default_rng(0)
    X, W1, b1 = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    W2, b2, y = rng.normal(size=(2, 5)), rng.normal(size=2), np.array([0, 1, 1, 0])
    Z1 = X @ W1.T + b1
    A1 = np.maximum(Z1, 0)
    Z2 = A1 @ W2.T + b2
    m = Z2.max(1)
    P = np.exp(Z2) / np.exp(Z2).sum(1, keepdims=True)
    L = np.float64(-np.log(P[range(4), y]).mean())
    dZ2 = (P - np.eye(2)[y]) / 4
    dA1 = dZ2 @ W2
    dZ1 = dA1 * (Z1 > 0)
    dW2, db2, dW1, db1, dL = dZ2.T @ A1, dZ2.sum(0), dZ1.T @ X, dZ1.sum(0), np.float64(1)
    del rng, P
    return {name: np.asarray(value) for name, value in locals().items()}


def formula(text):
    return Formula(text, text, f"<math><mi>{text}</mi></math>")


def statistics(x):
    norm = float(np.sqrt((x * x).sum()))
    return Statistics(float(x.mean()), float(x.std()), float(x.min()), float(x.max()), norm, float((x == 0).mean()), 0)


def two_layers(layer="hidden", path="hidden.weight", title="two layers"):
    """The derivation of the gradient of L."""
    found = values()
    names = list(found)
    variables = []
    for i, (name, x) in enumerate(found.items()):
        role = ROLES.get(name, "gradient" if name.startswith("d") else "activation")
        v = Variable(i, name, role, layer if name.endswith("1") else "", path if name == "W1" else "", x.shape, "float64", x.nbytes)  # fmt: skip  # noqa: E501
        v.value, v.statistics = x, statistics(x)
        v.of = names.index(name[1:]) if role == "gradient" else None
        v.gradient = names.index("d" + name) if "d" + name in found else None
        variables.append(v)
    steps = []
    for number, (phase, op, first, title_of, reads, makes, of, live) in enumerate(STEPS, 1):
        inputs, outputs = ([names.index(n) for n in text.split()] for text in (reads, makes))
        for i in outputs:
            variables[i].written_by, variables[i].memory = number, i
        for i in inputs:
            variables[i].read_by.append(number)
            variables[i].freed_after = number if variables[i].written_by is not None else None
        made = [formula(f"{n} = f({reads})") for n in makes.split()]
        primitives, kernels = (["linear_activation"], ["linear.cu"]) if number == 1 else ([], [])
        where = layer if first else ""
        steps.append(
            Step(
                number, phase, op, where, title_of, made, inputs, outputs, ["It is so."], of, primitives, kernels, live
            )
        )
    findings = [Finding("dead", layer, f"In the layer {layer} nothing is dead.")]
    return Derivation(title, variables, steps, [formula("J = L")], findings=findings)
