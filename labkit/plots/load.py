"""What rising load does to the waits and to the throughput.

Usage: ``draw_waits(measure_load(url, clients=(1, 2, 4, 8)))``
"""

from ..core.i18n import t
from ..serving.load_test import LoadTest
from .charts import Plot, draw_lines

PERCENTILES = ("p50", "p95", "p99")


def draw_waits(test: LoadTest) -> Plot:
    """The wait for the first token over the number of clients, at p50, p95 and p99.

    Usage: ``draw_waits(test)`` as the last line of a cell. Both axes are logarithmic.
    """
    lines = {
        name: [(row.clients, 1000 * getattr(row.first_token, name)) for row in test.rows]
        for name in PERCENTILES
    }
    return draw_lines(
        lines,
        title=t(
            f"{test.model}: waiting for the first token", f"{test.model}：等待第一个词元的时间"
        ),
        x=t("clients at once (log scale)", "并发客户端数（对数刻度）"),
        y=t("milliseconds (log scale)", "毫秒（对数刻度）"),
        log_x=True,
        log_y=True,
    )
