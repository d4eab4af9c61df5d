"""The training loop: AdamW on the answers, validation, early stop, checkpoints, resume.

The loop is the bare one of PyTorch; around it stands only what keeps a run whole. A checkpoint
holds what is trained, the optimizer's moments and where the run is; two are kept, so one that was
cut off costs no more than the way back to the one before it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from ..core.cache import replacing
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..engines import Model
from .dataset import IGNORED, Sample, batch_order, collate
from .lora import add_lora, load_base
from .settings import Settings

LEAST_GAIN = 1e-3
"""How much lower, as a share, the validation loss must be to count as better."""


@dataclass(frozen=True)
class ValidationPoint:
    """Where the loss stood: nats a token, training's as the mean since the point before."""

    step: int
    training_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Run:
    """A finished training. seconds: of steps alone; best_step: the weights that were kept."""

    steps: int
    best_step: int
    seconds: float
    history: tuple[ValidationPoint, ...]
    resumed_at: int = 0
    notes: tuple[str, ...] = ()


def open_base(name: str, settings: Settings, dtype: str) -> Model:
    """The model, ready to be trained by a method: everything, or a new adapter on a frozen base."""
    quant = settings.quant if settings.method == "qlora" else None
    model = load_base(name, dtype=dtype, quant=quant)
    if settings.method == "full":
        model.model.requires_grad_(True)
    else:
        add_lora(
            model,
            rank=settings.rank,
            alpha=settings.alpha,
            targets=settings.targets,
            dropout=settings.dropout,
            seed=settings.seed,
        )
    return model


def train(
    model: Model,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    settings: Settings,
    work: Path,
    *,
    identity: str = "",
    callback: Callback | None = None,
) -> Run:
    """Train what requires a gradient; afterwards the model holds the best weights it had.

    Usage: ``train(model, train_samples, validation_samples, Settings("lora"), Path("work"))``

    work: folder of the checkpoints. The same call after a kill goes on from the last one and ends
    as an unbroken run would. identity: what else must be the same for a checkpoint to fit (model,
    task). callback: as in :func:`~labkit.core.progress.show_progress`, in steps. The caller removes
    work when what came of it is kept. Raises LabError for checkpoints of another run.
    """
    torch = need("torch")
    loop = _Loop(model, settings, work, f"{settings} {identity}")
    title = t(f"training ({settings.method})", f"训练（{settings.method}）")
    pad, device = model.tokenizer.pad_token_id, model.model.device
    size = settings.batch * settings.accumulate
    with torch.random.fork_rng():
        loop.resume()
        resumed_at = loop.step
        order = islice(batch_order(len(samples), size, settings.seed), loop.step, None)
        model.model.train()
        with show_progress(settings.steps, title, unit="step", callback=callback) as bar:
            bar.advance(loop.step) if loop.step else None
            while loop.step < settings.steps and loop.bad < settings.patience:
                start = perf_counter()
                chosen = [samples[index] for index in next(order)]
                parts = [
                    collate(chosen[a : a + settings.batch], pad, device)
                    for a in range(0, size, settings.batch)
                ]
                loop.take_step(parts)
                loop.seconds += perf_counter() - start
                bar.advance()
                if loop.step % settings.evaluate_every == 0 or loop.step == settings.steps:
                    loss = validation_loss(model, validation, settings.batch)
                    bar.note(t(f"validation loss {loss:.3f}", f"验证损失 {loss:.3f}"))
                    loop.judge(loss)
                if loop.step % settings.checkpoint_every == 0 and loop.step < settings.steps:
                    loop.save()
        loop.take_best()
    model.model.eval()
    return Run(
        loop.step, loop.best_step, loop.seconds, tuple(loop.history), resumed_at, tuple(loop.notes)
    )


def answer_losses(net: Any, batch: "Mapping[str, Any]") -> Any:
    """The sum of the cross-entropies of the tokens that are to be learnt, in nats.

    Usage: ``answer_losses(model.model, collate(samples[:16], pad)).backward()``
    """
    torch = need("torch")
    read = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = net(**read, use_cache=False).logits[:, :-1].flatten(0, 1).float()
    labels = batch["labels"][:, 1:].flatten()
    return torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")


def learnt_tokens(batch: "Mapping[str, Any]") -> int:
    """How many tokens of a batch are to be learnt."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def validation_loss(model: Model, samples: Sequence[Sample], batch: int = 16) -> float:
    """Mean loss of an answer's token, in nats.

    Usage: ``validation_loss(model, encode_samples(model, task.validation, "validation"))``
    """
    torch, net = need("torch"), model.model
    was_training, total, count = net.training, 0.0, 0
    net.eval()
    with torch.inference_mode():
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            tensors = collate(part, model.tokenizer.pad_token_id, net.device)
            total += float(answer_losses(net, tensors))
            count += learnt_tokens(tensors)
    net.train(was_training)
    return total / count


@dataclass
class _Loop:
    """A training under way: what a checkpoint must hold, and the step itself."""

    model: Model
    settings: Settings
    work: Path
    identity: str
    step: int = 0
    bad: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    since: list[float] = field(default_factory=list)
    history: list[ValidationPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch, net = need("torch"), self.model.model
        self.trained = {n: p for n, p in net.named_parameters() if p.requires_grad}
        if self.settings.checkpointing:
            net.activation_checkpointing_enable({"use_reentrant": False})
            net.enable_input_require_grads()  # else a frozen embedding cuts the graph
        self.optimizer = torch.optim.AdamW(
            self.trained.values(),
            lr=self.settings.rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        half = any(p.dtype == torch.float16 for p in net.parameters())
        self.scaler = torch.amp.GradScaler(net.device.type, enabled=half)
        self.autocast = torch.autocast(net.device.type, torch.float16) if half else nullcontext()

    def take_step(self, parts: "Sequence[Mapping[str, Any]]") -> None:
        """One step of the optimizer on the mean loss of all learnt tokens of its parts."""
        torch = need("torch")
        if self.settings.dropout:
            torch.manual_seed(hash((self.settings.seed, self.step)))
        count, total = sum(map(learnt_tokens, parts)), 0.0
        for part in parts:
            with self.autocast:
                loss = answer_losses(self.model.model, part) / count
            self.scaler.scale(loss).backward()
            total += float(loss.detach())
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.step += 1
        self.since.append(total)

    def judge(self, loss: float) -> None:
        """Note where the loss stands; keep the weights if they are the best so far."""
        self.history.append(ValidationPoint(self.step, sum(self.since) / len(self.since), loss))
        self.since = []
        if loss < self.best_loss * (1 - LEAST_GAIN):
            self.best_loss, self.best_step, self.bad = loss, self.step, 0
            self._write(self.work / "best.safetensors", self._weights(), {})
        else:
            self.bad += 1

    def take_best(self) -> None:
        """Go back to the best weights, if later ones were no better."""
        if self.best_step not in (0, self.step):
            self._put_back(need("safetensors.torch").load_file(self.work / "best.safetensors"))

    def _weights(self) -> dict[str, Any]:
        return {name: p.detach().contiguous() for name, p in self.trained.items()}

    def _put_back(self, stored: Mapping[str, Any]) -> None:
        with need("torch").no_grad():
            for name, p in self.trained.items():
                p.copy_(stored[name])

    # Checkpoints --------------------------------------------------------------------------

    _KEPT = ("step", "bad", "best_step", "best_loss", "seconds", "since", "identity")

    def save(self) -> None:
        """A checkpoint of this step; the one before it stays, older ones go."""
        tensors = self._weights()
        for name, p in self.trained.items():
            state = self.optimizer.state[p]
            tensors |= {f"{moment}/{name}": state[moment] for moment in ("exp_avg", "exp_avg_sq")}
        state = {name: getattr(self, name) for name in self._KEPT}
        state["history"] = [vars(point) for point in self.history]
        state["scaler"] = self.scaler.state_dict()
        path = self.work / f"checkpoint-{self.step:06}.safetensors"
        self._write(path, tensors, {"state": json.dumps(state)})
        for old in self._checkpoints()[2:]:
            old.unlink()

    def _checkpoints(self) -> list[Path]:
        return sorted(self.work.glob("checkpoint-*.safetensors"), reverse=True)

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        self.work.mkdir(parents=True, exist_ok=True)
        damaged = need("safetensors").SafetensorError
        for path in self._checkpoints():
            try:
                self._load(path)
                return
            except damaged as error:
                self.notes.append(
                    t(
                        f"'{path.name}' was damaged ({error}); the one before it was taken.",
                        f"'{path.name}' 已损坏（{error}），已改用更早的一个。",
                    )
                )

    def _load(self, path: Path) -> None:
        torch = need("torch")
        with need("safetensors").safe_open(path, "pt", device=str(self.model.model.device)) as file:
            state = json.loads(file.metadata()["state"])
            stored = {name: file.get_tensor(name) for name in file.keys()}
        if state["identity"] != self.identity:
            raise LabError(
                t(
                    f"'{self.work}' holds the checkpoint of another training"
                    f" (step {state['step']}).",
                    f"'{self.work}' 里是另一次训练的检查点（第 {state['step']} 步）。",
                ),
                t(
                    "Name another folder, or delete it to begin anew.",
                    "请换一个文件夹，或删除它后重新开始。",
                ),
            )
        self._put_back(stored)
        for name, p in self.trained.items():
            self.optimizer.state[p] = {
                "step": torch.tensor(float(state["step"]), device=p.device),
                "exp_avg": stored[f"exp_avg/{name}"],
                "exp_avg_sq": stored[f"exp_avg_sq/{name}"],
            }
        self.scaler.load_state_dict(state["scaler"])
        for name in self._KEPT:
            setattr(self, name, state[name])
        self.history = [ValidationPoint(**point) for point in state["history"]]

    def _write(self, path: Path, tensors: Mapping[str, Any], metadata: dict[str, str]) -> None:
        size = sum(tensor.nbytes for tensor in tensors.values())
        with replacing(path, size) as part:
            need("safetensors.torch").save_file(dict(tensors), part, metadata=metadata)
