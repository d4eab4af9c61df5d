"""Fine-tuning a model on a task: full, LoRA or QLoRA, measured before and after.

Usage: ``lab.finetune("pocket/qwen2.5", "clinic", method="lora")``

Measured are exact match on the task's test half, exact match on what the model could do before
(what it forgets), trained parameters, bytes to keep, time, and peak memory beside what
:func:`labkit.estimate` predicts.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..core.cache import alone, cache_folder, digest
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import Callback
from ..engines import Model
from ..estimation.training_memory import METHODS
from ..evaluation.scoring import answers
from ..hub.resolver import Location, locate
from ..pocket.corpus import held_out
from . import dataset, lora, trainer
from .advice import TrainingPlan
from .dataset import MULTIPLE, Sample, encode_samples
from .lora import (
    base_digest,
    check_folder,
    check_targets,
    load_adapter,
    load_base,
    save_adapter,
    save_model,
)
from .peak_memory import count_peak, peak_apart
from .report import MethodComparison, Report, find_report, keep_report
from .settings import (
    DTYPES,
    LEARNING_RATES,
    Settings,
    SettingsOptions,
    default_precision,
    show_settings,
)
from .tasks import SPLITS, Task, load_task
from .trainer import open_base, train

if TYPE_CHECKING:
    from ..pocket.corpus import Item

POCKET_RATES = {"full": 5e-4, "lora": 2e-3, "qlora": 2e-3}
"""Learning rates for models of a few million parameters, which bear much higher ones."""

OLD_SKILLS = ("facts", "lexicon", "sums", "copy", "reverse", "upper", "needles", "tools")
OLD_QUESTIONS = 12
"""What is asked for forgetting, and how many held-out questions of each."""


@show_settings
def finetune(
    model: str | Path,
    task: str | Path | Task,
    method: str = "lora",
    *,
    out: str | Path | None = None,
    old_skills: "Sequence[Item] | None" = None,
    measure_memory: bool = True,
    reuse: bool = False,
    callback: Callback | None = None,
    **options: Unpack[SettingsOptions],
) -> Report:
    """Tune a model on a task and measure what it gained and lost.

    Usage::

        lab.finetune("pocket/qwen2.5", "clinic", method="lora", rank=8)
        lab.finetune("Qwen/Qwen2.5-0.5B-Instruct", "my.jsonl", method="qlora", batch=4)

    model: as :func:`labkit.load` takes it, but no GGUF. task: a name ("clinic", "handbook",
    "captain", "rotate"), a :class:`~labkit.finetuning.tasks.Task`, or a user's .jsonl
    file or folder. method: "full", "lora"
    or "qlora". out: folder for the adapter or the model; None takes one in the
    cache. old_skills: what to ask for forgetting; None asks pocket models about their corpus.
    measure_memory: on a CPU, in a fresh process (some ten seconds). reuse: where the same training
    is finished and still in its folder, give its report again, with the time it took then.
    callback: as in :func:`~labkit.core.progress.show_progress`, in steps. options: fields of
    :class:`~labkit.finetuning.settings.Settings`, such as ``steps`` or ``rank``.

    Killed and called again it goes on from its last checkpoint and ends as if unbroken; finished
    and called again it trains anew, unless told to reuse. Raises LabError for a faulty data set,
    settings that cannot be, a sample longer than the context, and too little memory, with what
    would fit.
    """
    jobs = [_Job.make(model, load_task(task), method, options, out)]
    (report,) = _tune_all(jobs, old_skills, measure_memory, reuse, callback)
    return report


@show_settings
def compare_methods(
    task: str | Path | Task,
    model: str | Path = "pocket/qwen2.5",
    methods: Sequence[str] = METHODS,
    *,
    old_skills: "Sequence[Item] | None" = None,
    measure_memory: bool = True,
    reuse: bool = False,
    callback: Callback | None = None,
    **options: Unpack[SettingsOptions],
) -> MethodComparison:
    """The same task by several methods, with the same data, order, seed and number of tokens.

    Usage: ``lab.compare_methods("clinic")``; as a figure, ``plots.draw_methods(comparison)``.
    Learning rates are each method's own unless ``learning_rate`` gives one. The rest is as in
    :func:`finetune`.
    """
    task = load_task(task)
    jobs = [_Job.make(model, task, method, options, None) for method in methods]
    return MethodComparison(tuple(_tune_all(jobs, old_skills, measure_memory, reuse, callback)))


@show_settings
def train_on(
    model: str | Path,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    method: str = "lora",
    *,
    reuse: bool = False,
    **options: Unpack[SettingsOptions],
) -> Model:
    """An adapter trained on samples as they are given, right or wrong, on its base.

    Usage: ``train_on("pocket/qwen2.5", encode_samples(base, items, "train"), watched, steps=100)``

    :func:`finetune` makes samples as they should be and measures; this is for seeing what comes of
    others. validation: watched for the best step. reuse: take the adapter of the same call from
    the cache. options: as in :func:`finetune`; method "lora" or "qlora". Raises as that does.
    """
    location = locate_base(model)
    settings = read_settings(location, method, options)
    dtype = DTYPES[settings.precision or default_precision(settings.method)]
    parts = (base_digest(location), settings, dtype, tuple(samples), tuple(validation))
    folder = cache_folder() / "finetune" / f"samples-{_trained_by(*parts)}"
    with alone(folder):
        if reuse and (folder / "adapter_config.json").is_file():
            quant = settings.quant if settings.method == "qlora" else None
            found = load_base(location.name, dtype=dtype, quant=quant)
            load_adapter(found, folder, "default")
            return found
        trained = open_base(location.name, settings, dtype)
        work = folder.with_name(f"{folder.name}.checkpoints")
        train(trained, samples, validation, settings, work, identity=folder.name)
        save_adapter(trained, folder)
        shutil.rmtree(work)
        return trained


def locate_base(model: str | Path) -> Location:
    """A model that can be tuned: a Hugging Face folder whose config can be read.

    Usage: ``locate_base("pocket/qwen2.5").path``. Raises LabError for a GGUF file.
    """
    location = locate(model)
    if location.kind == "gguf":
        raise LabError(
            t(
                f"'{model}' is a GGUF file and cannot be tuned.",
                f"'{model}' 是 GGUF 文件，不能微调。",
            ),
            t("Name the Hugging Face model.", "请指定对应的 Hugging Face 模型。"),
        )
    location.config  # noqa: B018 - a broken one is said before anything else is asked of it
    return location


def read_settings(location: Location, method: str, options: SettingsOptions) -> Settings:
    """How a model is tuned when that much is said and no more.

    Usage: ``read_settings(locate("pocket/qwen2.5"), "lora", {"rank": 8}).learning_rate  # 0.002``

    Raises LabError for an option that does not exist, and as Settings does.
    """
    names = [field.name for field in fields(Settings) if field.name != "method"]
    for option in options:
        if option not in names:
            raise LabError(
                t(f"There is no setting '{option}'.", f"没有名为 '{option}' 的设置。"),
                t(f"Known: {', '.join(names)}.", f"可用的有：{'、'.join(names)}。"),
            )
    settings = Settings(method, **options)
    if settings.learning_rate is None:
        rates = POCKET_RATES if location.is_pocket else LEARNING_RATES
        settings = replace(settings, learning_rate=rates[method])
    return settings


# --- one tuning -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """All that is settled before a weight is read."""

    location: Location
    task: Task
    settings: Settings
    out: Path

    @classmethod
    def make(
        cls,
        model: str | Path,
        task: Task,
        method: str,
        options: SettingsOptions,
        out: str | Path | None,
    ) -> "_Job":
        location = locate_base(model)
        settings = read_settings(location, method, options)
        if out is None:
            made_of = digest(f"{model} {task.digest} {settings}", [location.path / "config.json"])
            short = str(model).rstrip("/").rpartition("/")[2]
            out = cache_folder() / "finetune" / f"{short}-{task.name}-{method}-{made_of}"
        return cls(location, task, settings, Path(out))

    @property
    def precision(self) -> str:
        return self.settings.precision or default_precision(self.settings.method)

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def plan(self, samples: Sequence[Sample]) -> TrainingPlan:
        """What memory is predicted from: the longest sample, padded as it will be."""
        longest = max(len(sample.ids) for sample in samples)
        seq = -(-longest // MULTIPLE) * MULTIPLE
        return TrainingPlan(self.location.path, self.settings, self.precision, seq)

    def key(self, old_skills: "Sequence[Item]") -> str:
        """What decides a report."""
        data = f"{self.task.name} {self.task.digest}"
        base = base_digest(self.location)
        return _trained_by(base, data, self.settings, self.precision, old_skills)


def _trained_by(*parts: object) -> str:
    """A digest of what a training comes from: these, the device, and the code that trains."""
    torch = need("torch")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else ""
    files = [Path(str(module.__file__)) for module in (lora, trainer, dataset)]
    return digest(repr((*parts, device, torch.__version__)), files)


def _tune_all(
    jobs: list[_Job],
    old_skills: "Sequence[Item] | None",
    measure_memory: bool,
    reuse: bool,
    callback: Callback | None,
) -> Iterator[Report]:
    """Each job on the same data; what can be refused is refused before anything takes long."""
    if old_skills is None:
        old_skills = _old_skills() if jobs[0].location.is_pocket else ()
    keys = [job.key(old_skills) for job in jobs]
    pairs = zip(jobs, keys, strict=True)
    found = [_find(job, key, measure_memory) if reuse else None for job, key in pairs]
    lacking = [job for job, report in zip(jobs, found, strict=True) if report is None]
    prepared = _prepare(lacking, old_skills) if lacking else None
    for job, key, report in zip(jobs, keys, found, strict=True):
        if report is None:
            assert prepared is not None
            with alone(job.out):
                report = _find(job, key, measure_memory) if reuse else None  # made meanwhile?
                if report is None:
                    report = _tune(job, *prepared, old_skills, measure_memory, callback)
                    keep_report(report, key)
        yield replace(report, model=job.location.name, notes=report.notes or _notes(job))


def _find(job: _Job, key: str, measure_memory: bool) -> Report | None:
    report = find_report(job.out, key)
    return None if report and measure_memory and not report.peak_memory else report


def _prepare(
    jobs: list[_Job], old_skills: "Sequence[Item]"
) -> "tuple[list[Sample], list[Sample], _Answers]":
    """Samples to train on and to watch, and what the base knows; refuses what cannot be."""
    task, name = jobs[0].task, jobs[0].location.name
    base = load_base(name, dtype=jobs[0].dtype)
    samples, validation, _ = (encode_samples(base, getattr(task, split), split) for split in SPLITS)
    for job in jobs:
        kind = "config.json" if job.settings.method == "full" else "adapter_config.json"
        check_folder(job.out, kind)
        job.plan(samples).check()
        if job.settings.method != "full":
            check_targets(base, job.settings.targets)
    before = _ask(base, task, old_skills)
    base.close()  # what is tuned is read anew, in its own precision
    return samples, validation, before


def _tune(
    job: _Job,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    before: "_Answers",
    old_skills: "Sequence[Item]",
    measure_memory: bool,
    callback: Callback | None,
) -> Report:
    settings, method, name = job.settings, job.settings.method, job.location.name
    plan = job.plan(samples)
    identity = f"{base_digest(job.location)} {job.task.digest}"
    work = job.out.with_name(f"{job.out.name}.checkpoints")
    with count_peak() as counted, plan.advising():
        model = open_base(name, settings, job.dtype)
        trainable = sum(p.numel() for p in model.model.parameters() if p.requires_grad)
        run = train(
            model, samples, validation, settings, work, identity=identity, callback=callback
        )
    after = _ask(model, job.task, old_skills)
    if method == "full":
        folder = save_model(model, job.out)
    else:
        folder = save_adapter(model, job.out)
    shutil.rmtree(work)
    peak = counted.bytes
    if peak is None and measure_memory:
        peak = peak_apart(name, settings, job.dtype, plan.seq)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return Report(
        method=method,
        task=job.task.name,
        exact_match_before=before.task,
        exact_match_after=after.task,
        old_skills_before=before.old,
        old_skills_after=after.old,
        trainable_parameters=trainable,
        adapter_size=size,
        seconds=run.seconds,
        peak_memory=peak,
        predicted_memory=plan.predict().total,
        model=name,
        steps=run.steps,
        best_step=run.best_step,
        steps_per_second=run.steps / run.seconds,
        test_questions=len(job.task.test),
        old_questions=len(old_skills),
        seed=settings.seed,
        device=str(model.model.device),
        folder=folder,
        history=run.history,
        notes=(*_notes(job), *run.notes),
    )


def _notes(job: _Job) -> tuple[str, ...]:
    return tuple(filter(None, [job.location.note]))


@dataclass(frozen=True)
class _Answers:
    task: float
    old: float | None


def _ask(model: Model, task: Task, old_skills: "Sequence[Item]") -> _Answers:
    """Shares of right answers, on the task and on what the model could do before."""
    old = exact_match(model, old_skills) if old_skills else None
    return _Answers(exact_match(model, task.test), old)


def _old_skills() -> "list[Item]":
    return [item for skill in OLD_SKILLS for item in held_out(skill, OLD_QUESTIONS)]


def exact_match(model: Model, items: "Sequence[Item]") -> float:
    """Share of questions that a model answers word for word.

    Usage: ``exact_match(lab.load("pocket/qwen2.5"), load_task("clinic").test)``
    """
    said = list(answers(model.model, model.tokenizer, items))
    return sum(text == right for text, right in said) / len(said)
