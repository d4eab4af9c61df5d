"""What each way of tuning gained on the new task and kept of the old skills."""

from ..core.i18n import t
from ..finetuning.report import MethodComparison
from .charts import Plot, draw_bars


def draw_methods(comparison: MethodComparison) -> Plot:
    """What each way of tuning gained on the new task and kept of the old skills.

    Usage: ``draw_methods(lab.compare_methods("clinic"))``
    """
    rows = comparison.rows
    series = {
        t("new task", "新任务"): {row.method: row.exact_match_after for row in rows},
        t("old skills before", "原有能力（微调前）"): {
            row.method: row.old_skills_before for row in rows if row.old_skills_before is not None
        },
        t("old skills after", "原有能力（微调后）"): {
            row.method: row.old_skills_after for row in rows if row.old_skills_after is not None
        },
    }
    title = t(f"Tuned on '{rows[0].task}': right answers", f"在“{rows[0].task}”上微调：答对的比例")
    kept = {name: shares for name, shares in series.items() if shares}
    return draw_bars(kept, title=title, show=lambda share: f"{share:.0%}")
