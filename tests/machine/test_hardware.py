"""This computer: limits of containers, processor, platform, cache; recorded, then for real."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs
import psutil
import pytest
from cgroups import make_cgroup
from computers import computer
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.core.cache import cache_folder
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.core.units import GiB, MiB
from labkit.machine.hardware import cpu_quota, hardware, limit_memory
from labkit.machine.host import run_tool

V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V2_AT = "/sys/fs/cgroup"


# --- cgroups, recorded


def test_without_cgroups_the_machine_is_what_it_is(tmp_path):
    host = computer(tmp_path)
    memory = limit_memory(16 * GiB, 9 * GiB, host)
    assert (memory.total, memory.available, memory.limit) == (16 * GiB, 9 * GiB, None)
    assert cpu_quota(host) is None


def test_a_v2_container_counts_droppable_cache_as_free(tmp_path):
    files = {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": V2,
        f"{V2_AT}/memory.max": f"{2 * GiB}\n",
        f"{V2_AT}/memory.current": f"{1536 * MiB}\n",
        f"{V2_AT}/memory.stat": f"anon {700 * MiB}\nfile {800 * MiB}\ninactive_file {512 * MiB}\n",
        f"{V2_AT}/cpu.max": "150000 100000\n",
    }
    host = computer(tmp_path, files)
    memory = limit_memory(16 * GiB, 9 * GiB, host)
    assert (memory.total, memory.available, memory.limit) == (2 * GiB, 1024 * MiB, 2 * GiB)
    assert cpu_quota(host) == 1.5


def test_in_v2_the_tightest_limit_on_the_way_up_holds(tmp_path):
    slice_, scope = f"{V2_AT}/user.slice", f"{V2_AT}/user.slice/lab.scope"
    files = {
        "/proc/self/cgroup": "0::/user.slice/lab.scope\n",
        "/proc/self/mountinfo": V2,
        f"{scope}/memory.max": "max\n",
        f"{scope}/memory.current": f"{100 * MiB}\n",
        f"{scope}/memory.stat": "inactive_file 0\n",
        f"{scope}/cpu.max": "max 100000\n",
        f"{slice_}/memory.max": f"{4 * GiB}\n",
        f"{slice_}/memory.current": f"{3 * GiB}\n",
        f"{slice_}/memory.stat": "inactive_file 0\n",
        f"{slice_}/cpu.max": "200000 50000\n",
    }
    host = computer(tmp_path, files)
    memory = limit_memory(16 * GiB, 9 * GiB, host)
    assert (memory.total, memory.available, memory.limit) == (4 * GiB, 1 * GiB, 4 * GiB)
    assert cpu_quota(host) == 4.0


def test_everything_max_is_no_limit(tmp_path):
    files = {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": V2,
        f"{V2_AT}/memory.max": "max\n",
        f"{V2_AT}/memory.current": f"{GiB}\n",
        f"{V2_AT}/cpu.max": "max 100000\n",
    }
    host = computer(tmp_path, files)
    assert limit_memory(16 * GiB, 9 * GiB, host).limit is None
    assert cpu_quota(host) is None


V1_MOUNTS = (
    "33 32 0:29 {root} /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
    "34 32 0:30 {root} /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    "35 32 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
V1_CGROUPS = "5:memory:{path}\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}\n0::/\n"


def v1_files(root: str, path: str, below: str) -> dict[str, str]:
    memory, cpu = f"/sys/fs/cgroup/memory{below}", f"/sys/fs/cgroup/cpu,cpuacct{below}"
    return {
        "/proc/self/cgroup": V1_CGROUPS.format(path=path),
        "/proc/self/mountinfo": V1_MOUNTS.format(root=root),
        f"{memory}/memory.limit_in_bytes": f"{3 * GiB}\n",
        f"{memory}/memory.usage_in_bytes": f"{2 * GiB}\n",
        f"{memory}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GiB}\n",
        f"{cpu}/cpu.cfs_quota_us": "50000\n",
        f"{cpu}/cpu.cfs_period_us": "100000\n",
    }


@pytest.mark.parametrize(
    "root, path, below",
    [
        ("/", "/docker/0a1b", "/docker/0a1b"),  # on the host: the whole tree is mounted
        ("/docker/0a1b", "/docker/0a1b", ""),  # in Docker: its own cgroup is the root it sees
        ("/docker/0a1b", "/docker/0a1b/inner", "/inner"),
        ("/docker/0a1b", "/kubepods/pod7", ""),  # the two name different trees: the mount holds
    ],
)
def test_v1_is_found_wherever_it_is_mounted(tmp_path, root, path, below):
    host = computer(tmp_path, v1_files(root, path, below))
    memory = limit_memory(16 * GiB, 9 * GiB, host)
    assert (memory.total, memory.available, memory.limit) == (3 * GiB, 2 * GiB, 3 * GiB)
    assert cpu_quota(host) == 0.5


def test_v1_writes_no_limit_as_a_number(tmp_path):
    files = v1_files("/", "/", "")
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    files["/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "-1\n"
    host = computer(tmp_path, files)
    assert limit_memory(16 * GiB, 9 * GiB, host).limit is None
    assert cpu_quota(host) is None


sizes = st.integers(1, 64 * GiB)


@settings(max_examples=60)
@given(total=sizes, free=sizes, limit=sizes, used=sizes, cached=sizes)
def test_a_limit_never_gives_memory(total, free, limit, used, cached):
    free, cached = min(free, total), min(cached, used)
    with TemporaryDirectory() as folder:
        files = {
            "/proc/self/cgroup": "0::/\n",
            "/proc/self/mountinfo": V2,
            f"{V2_AT}/memory.max": f"{limit}\n",
            f"{V2_AT}/memory.current": f"{used}\n",
            f"{V2_AT}/memory.stat": f"inactive_file {cached}\n",
        }
        memory = limit_memory(total, free, computer(Path(folder), files))
    assert memory.total == min(total, limit)
    assert 0 <= memory.available <= min(free, memory.total)
    assert (memory.limit is None) == (limit >= total)


# --- processor and platform, recorded


def test_a_tight_quota_leaves_at_least_one_core(tmp_path):
    host = computer(tmp_path, v1_files("/", "/", ""))
    assert hardware(host).cpu.usable_cores == 1  # half a core's time


def test_an_x86_processor(tmp_path):
    text = (
        "processor\t: 0\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
        "flags\t\t: fpu sse4_2 avx f16c avx2 avx512f avx512_bf16 amx_tile erms\n\n"
        "processor\t: 1\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
    )
    cpu = hardware(computer(tmp_path, {"/proc/cpuinfo": text})).cpu
    assert cpu.name == "AMD Ryzen 9 7950X 16-Core Processor"
    expected = ("sse4_2", "avx", "f16c", "avx2", "avx512f", "avx512_bf16", "amx_tile")
    assert cpu.vector_instructions == expected


def test_an_arm_server_is_named_by_lscpu(tmp_path):
    text = "processor\t: 0\nFeatures\t: fp asimd aes asimddp sve i8mm bf16\nCPU part\t: 0xd40\n"
    tools = {"lscpu": "Architecture:        aarch64\nModel name:          Neoverse-V1\n"}
    cpu = hardware(computer(tmp_path, {"/proc/cpuinfo": text}, tools)).cpu
    assert cpu.name == "Neoverse-V1"
    assert cpu.vector_instructions == ("asimd", "asimddp", "sve", "i8mm", "bf16")


def test_an_apple_processor(tmp_path):
    text = (
        "hw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_SME: 0\nhw.optional.arm64: 1\n"
        "hw.optional.neon: 1\nmachdep.cpu.brand_string: Apple M2\n"
    )
    cpu = hardware(computer(tmp_path, tools={"sysctl hw.optional": text}, system="Darwin")).cpu
    assert (cpu.name, cpu.vector_instructions) == ("Apple M2", ("FEAT_BF16", "neon"))


def test_what_nothing_tells_stays_unknown(tmp_path):
    found = hardware(computer(tmp_path, system="Windows"))
    assert found.cpu.name is None and found.cpu.vector_instructions == () and found.gpus == ()
    use_language("en")
    assert ("Processor", f"unknown ({found.cpu.architecture})") in found.rows()
    use_language(None)


OS_RELEASE = 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.2 LTS"\n'


@pytest.mark.parametrize(
    "files, environ, expected",
    [
        ({}, {}, (None, False, None)),
        ({"/.dockerenv": ""}, {}, ("docker", False, None)),
        ({"/run/.containerenv": ""}, {}, ("podman", False, None)),
        ({"/run/systemd/container": "lxc\n"}, {}, ("lxc", False, None)),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "h"}, ("kubernetes", False, None)),
        (
            {"/proc/version": "Linux version 5.15.167.4-microsoft-standard-WSL2"},
            {},
            (None, True, None),
        ),
        ({}, {"COLAB_RELEASE_TAG": "release"}, (None, False, "Google Colab")),
        ({}, {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, (None, False, "Kaggle")),
        ({}, {"BINDER_SERVICE_HOST": "h"}, (None, False, "Binder")),
    ],
)
def test_where_it_runs(tmp_path, files, environ, expected):
    host = computer(tmp_path, files | {"/etc/os-release": OS_RELEASE}, environ=environ)
    found = hardware(host).platform
    assert (found.container, found.wsl, found.service) == expected
    assert (found.system, found.version) == ("Linux", "Ubuntu 24.04.2 LTS")


def test_every_row_is_in_the_readers_language(tmp_path):
    found = hardware(computer(tmp_path, v1_files("/", "/", "")))
    use_language("zh")
    chinese = dict(found.rows())
    use_language("en")
    english = dict(found.rows())
    use_language(None)
    assert "（容器上限）" in chinese["内存"] and "(the container's limit)" in english["Memory"]
    assert chinese["GPU"] == "没有找到" and english["GPU"] == "none found"
    assert len(chinese) == len(english)


def test_it_shows_itself_as_text_and_as_a_table(tmp_path):
    text = "model name\t: Intel(R) Core(TM) <i7> & co\n"
    found = hardware(computer(tmp_path, {"/proc/cpuinfo": text}))
    assert "Intel(R) Core(TM) <i7> & co" in str(found)
    assert "Intel(R) Core(TM) &lt;i7&gt; &amp; co" in found._repr_html_()
    assert found._repr_html_().count("<tr>") == len(found.rows()) == len(str(found).splitlines())


# --- tools and the cache folder


def test_a_tool_that_is_missing_or_fails_says_nothing():
    assert run_tool("no-such-tool-at-all") is None
    assert run_tool(sys.executable, "-c", "print('half'); raise SystemExit(3)") is None
    assert run_tool(sys.executable, "-c", "print('whole')") == "whole\n"


def test_the_cache_moves_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert list(cache_folder().iterdir()) == []
    monkeypatch.delenv("LABKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == platformdirs.user_cache_path("labkit", appauthor=False)


def test_looking_does_not_make_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "later"))
    assert hardware().cache_disk.folder == str(tmp_path / "later")
    assert not (tmp_path / "later").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabError, match="LABKIT_CACHE") as caught:
        cache_folder()
    assert str(tmp_path / "file") in caught.value.what


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which nobody can write to")
def test_a_read_only_cache_is_noticed_even_by_root(monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", "/proc/self/fd")
    with pytest.raises(LabError, match="/proc/self/fd"):
        cache_folder()


# --- for real


def test_this_machine():
    found = hardware()
    machine_memory = psutil.virtual_memory()
    assert 0 < found.memory.available <= found.memory.total <= machine_memory.total
    assert found.memory.limit in (None, found.memory.total)
    assert 1 <= found.cpu.usable_cores <= (found.cpu.logical_cores or 1)
    assert found.cpu.architecture and found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.work_disk.folder == os.getcwd() and 0 < found.work_disk.free
    for gpu in found.gpus:
        assert gpu.memory_total is None or gpu.memory_total > 0
    json.dumps(asdict(found))  # nothing in it that JSON cannot hold


def test_looking_is_quick_and_imports_no_framework():
    code = (
        "import sys, time; start = time.perf_counter(); import labkit; labkit.hardware();"
        "print(time.perf_counter() - start, sorted({'torch', 'transformers', 'numpy', 'llama_cpp'}"
        " & set(sys.modules)))"
    )
    seconds, names = run_tool(sys.executable, "-c", code).split(" ", 1)
    assert names.strip() == "[]"
    assert float(seconds) < 3  # it takes 0.1 s where no maker's tool has to be asked


@pytest.fixture
def own_cgroup():
    """A cgroup within one of 600 MiB; where none can be made, the recorded ones are tested."""
    with make_cgroup(600 * MiB) as group:
        inner = group / "inner"
        inner.mkdir()
        yield inner
        inner.rmdir()


def test_a_real_limit_from_inside(own_cgroup):
    code = (
        f"import os, json; open({str(own_cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()));"
        "from dataclasses import asdict; from labkit.machine.hardware import hardware;"
        "before = hardware().memory.available; held = b'x' * (200 << 20);"
        "print(json.dumps([before, asdict(hardware().memory)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, memory = json.loads(done.stdout)
    assert memory["limit"] == memory["total"] == 600 * MiB
    assert 0 < memory["available"] < 600 * MiB
    assert before - memory["available"] == pytest.approx(200 * MiB, rel=0.1)
