"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gpunn import ops
from gpunn.autograd.mode import enable_grad, no_grad
from gpunn.autograd.mode import state as mode
from gpunn.tensor import Tensor

from .checks import check_at_least_zero
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer


class LBFGS(Optimizer):
    """L-BFGS: Newton's method, with the curvature guessed from the last steps. For full batches.

    With the gradient g of all parameters as one vector, s = the last changes of the parameters, y = the changes of the
    gradient with them, r = 1 / y.s, and H0 = s.y / y.y of the last one::

        q = -g;  from new to old:  a_i = r_i s_i.q,  q <- q - a_i y_i
        d = H0 q;  from old to new:  d <- d + (a_i - r_i y_i.d) s_i
        p <- p + t d

    t is `lr` (at the first step min(1, 1 / sum of |g|) lr), or what a line search finds from there. Nocedal and Wright
    2006, "Numerical optimization", algorithm 7.4.

    ``step(closure)`` calls the closure several times; so it is not planned. There is one group of parameters.

    Args:
        params: the parameters.
        lr: the step, or the first one that the line search tries.
        max_iter: how many directions a call of ``step`` takes at most.
        max_eval: how often it calls the closure at most; max_iter 5 / 4 where it is None.
        tolerance_grad: it ends where no element of the gradient is larger.
        tolerance_change: it ends where neither loss nor parameters change by more.
        history_size: how many s and y are kept; each is as large as all parameters.
        line_search_fn: None, or ``"strong_wolfe"``.

    State: of the first parameter, ``n_iter``, ``func_evals``, and what is kept: ``d``, ``t``, ``old_dirs`` (y),
    ``old_stps`` (s), ``ro`` (r), ``H_diag``, ``prev_flat_grad`` and ``prev_loss``.
    """

    _planned = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported, not {group['line_search_fn']!r}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of `Optimizer`, once.

        Raises:
            ValueError: there is a group.
        """
        if self.param_groups:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to `max_iter` steps.

        Args:
            closure: computes the loss anew, calls ``backward`` and returns the loss.

        Returns:
            What the closure returned at its first call.

        Raises:
            TypeError: there is no closure.
        """
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure, which computes the loss, calls backward() and returns it")
        if mode.tracer is not None:
            mode.tracer.leave("LBFGS calls its closure several times a step")
        for before in list(self._pre_hooks.values()):
            before(self, (closure,), {})
        with no_grad():
            result = _Steps(self.param_groups[0], self.state, closure).run()
        self._stepped = True
        for after in list(self._post_hooks.values()):
            after(self, (closure,), {})
        return result


class _Steps:
    """One call of `LBFGS.step`."""

    def __init__(self, group: dict[str, Any], state: Any, closure: Callable[[], Any]):
        self.group, self.closure = group, closure
        self.params: list[Tensor] = group["params"]
        self.state = state[self.params[0]]
        self.state.setdefault("func_evals", 0)
        self.state.setdefault("n_iter", 0)
        self.evaluations = 0

    def run(self) -> Any:
        """All of its steps."""
        group, state = self.group, self.state
        result, loss, gradient = self._evaluate()
        if self._is_flat(gradient):
            return result
        for i in range(group["max_iter"]):
            state["n_iter"] += 1
            direction = self._direction(gradient)
            before_gradient, before_loss = gradient.clone(), loss
            t = group["lr"]
            if state["n_iter"] == 1:
                t = min(1.0, 1 / gradient.abs().sum().item()) * t
            slope = gradient.dot(direction).item()
            state.update(d=direction, t=t, prev_flat_grad=before_gradient, prev_loss=before_loss)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                point = self._search(Point(0, loss, gradient, slope), t, direction)
                loss, gradient, t = point.loss, point.gradient, point.t
                state["t"] = t
                self._move(t, direction)
            else:
                self._move(t, direction)
                if i + 1 < group["max_iter"]:  # with batches drawn anew the loss of the last one would be of no use
                    _, loss, gradient = self._evaluate()
            if (
                i + 1 == group["max_iter"]
                or self.evaluations >= group["max_eval"]
                or self._is_flat(gradient)
                or (direction * t).abs().max().item() <= group["tolerance_change"]
                or abs(loss - before_loss) < group["tolerance_change"]
            ):
                break
        return result

    def _direction(self, gradient: Tensor) -> Tensor:
        """-H g, with the last step taken into H."""
        state = self.state
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -gradient
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = y.dot(s).item()
        if curvature > 1e-10:
            if len(ys) == self.group["history_size"]:
                for history in (ys, ss, ro):
                    history.pop(0)
            ys.append(y)
            ss.append(s)
            ro.append(1 / curvature)
            state["H_diag"] = curvature / y.dot(y).item()
        d = -gradient
        shares = []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro)):
            shares.append(s.dot(d).item() * r)
            d = d - shares[-1] * y
        d = d * state["H_diag"]
        for y, s, r, share in zip(ys, ss, ro, reversed(shares)):
            d = d + (share - y.dot(d).item() * r) * s
        return d

    def _search(self, start: Point, t: float, direction: Tensor) -> Point:
        places = [p.clone() for p in self.params]

        def evaluate(t: float) -> Point:
            self._move(t, direction)
            _, loss, gradient = self._evaluate()
            for p, place in zip(self.params, places):
                p.copy_(place)
            return Point(t, loss, gradient, gradient.dot(direction).item())

        most = self.group["max_eval"] - self.evaluations
        longest = direction.abs().max().item()
        return strong_wolfe(evaluate, start, t, longest, 1e-9, most)[0]

    def _evaluate(self) -> tuple[Any, float, Tensor]:
        """What the closure returns, as a number too, and the gradient as one vector."""
        with enable_grad():
            result = self.closure()
        self.evaluations += 1
        self.state["func_evals"] += 1
        parts = [(ops.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self.params]
        loss = result.item() if isinstance(result, Tensor) else float(result)
        return result, loss, ops.cat(parts).detach()

    def _is_flat(self, gradient: Tensor) -> bool:
        return gradient.abs().max().item() <= self.group["tolerance_grad"]

    def _move(self, t: float, direction: Tensor) -> None:
        start = 0
        for p in self.params:
            p.add_(direction[start : start + p.numel()].view(p.shape), alpha=t)
            start += p.numel()
