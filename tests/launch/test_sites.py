"""The site files that ship: they load, say where each number is from, and ask for nothing that jpfm writes itself."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import UsageError
from jpfm.launch import site
from jpfm.launch.site import SITES, Queue, Site
from jpfm.train import peak

EXPECTED = ("abci3", "generic", "generic-age", "generic-pbs", "mdx", "miyabi", "sakura", "tsubame4")
PLACEHOLDERS = {"nodes", "gpus", "cpus", "time"}
NUMBER = re.compile(r"^\s+(gpus_per_node|cpus_per_node|memory_gib|max_nodes|max_hours):")

NCCL = "docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html"
TORCH_NCCL = "docs.pytorch.org/docs/stable/torch_nccl_environment_variables.html"
TORCH_CUDA = "docs.pytorch.org/docs/stable/notes/cuda.html"
DOCUMENTED = {
    "NCCL_DEBUG": NCCL,
    "NCCL_IB_ADDR_RANGE": NCCL,
    "NCCL_IB_HCA": NCCL,
    "NCCL_IB_QPS_PER_CONNECTION": NCCL,
    "NCCL_IB_TC": NCCL,
    "NCCL_IB_TIMEOUT": NCCL,
    "NCCL_SOCKET_IFNAME": NCCL,
    "PYTORCH_ALLOC_CONF": TORCH_CUDA,
    "TORCH_NCCL_DUMP_ON_TIMEOUT": TORCH_NCCL,
    "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC": TORCH_NCCL,
    "TORCH_NCCL_TRACE_BUFFER_SIZE": TORCH_NCCL,
}
"""Variables that a site may set, and where each is documented."""

WRITTEN_BY_JPFM = {
    "slurm": r"--(job-name|output|error|time|nodes|partition|gpus|cpus-per-task|ntasks|signal|requeue|open-mode|array)",
    "pbs": r"-(N|o|e|j|J|r|k)\b|-l (walltime|select|place)\b|-q\b",
    "age": r"-(N|o|e|j|t|tc|r|cwd|S)\b|-l h_rt\b",
}


def _text(name: str) -> str:
    return (SITES / f"{name}.yaml").read_text(encoding="utf-8")


def _queues() -> Iterator[tuple[str, str, Site, Queue]]:
    for name in site.names():
        found = site.find(name)
        yield from ((name, title, found, queue) for title, queue in found.queues.items())


QUEUES = [pytest.param(found, queue, id=f"{name}-{title}") for name, title, found, queue in _queues()]


def test_the_sites_that_ship() -> None:
    assert tuple(site.names()) == EXPECTED


@pytest.mark.parametrize("name", EXPECTED)
def test_a_site_says_where_it_is_from(name: str) -> None:
    source = site.find(name).source
    if name.startswith("generic"):
        assert source is None
    else:
        assert source is not None
        assert re.search(r"\w+\.(ai|jp|com|org)\b", source), "an address"
        assert re.search(r"read \d{4}-\d{2}", source), "a date"


@pytest.mark.parametrize("name", EXPECTED)
def test_each_number_says_where_it_is_from(name: str) -> None:
    text = _text(name)
    listed = {int(number) for number in re.findall(r"\[(\d)\] \S+", text.split("\ntitle:")[0])}
    for line in filter(NUMBER.match, text.splitlines()):
        _, comment = line.split("#", 1) if "#" in line else (line, "")
        cited = {int(number) for group in re.findall(r"\[(\d(?:, \d)*)\]", comment) for number in group.split(", ")}
        assert cited or "ASSUMPTION" in comment or "choice of this file" in comment or "one host" in comment, line
        assert cited <= listed, f"{line}: not among the sources at the top"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_source_at_the_top_is_used(name: str) -> None:
    top, below = _text(name).split("\ntitle:")
    for number in re.findall(r"\[(\d)\] \S+", top):
        assert re.search(rf"\[(?:\d, )*{number}(?:, \d)*\]", below), f"[{number}]"


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_of_one_user(name: str) -> None:
    text = _text(name)
    assert all(len(line) <= 120 for line in text.splitlines())
    assert text.isascii(), "qsub of some sites refuses others, and scripts quote these lines"
    for pattern in (
        r"/(home|groups|gs|work)/",
        r"\w@\w",
        r"(?i)(token|password|secret|key)\w*\s*[:=]",
    ):
        assert not re.search(pattern, text), pattern


@pytest.mark.parametrize("name", EXPECTED)
def test_variables_are_documented_and_explained(name: str) -> None:
    for variable, given_ in site.find(name).environment.items():
        assert variable in DOCUMENTED, f"{variable}: where is it documented?"
        assert given_.why.endswith("."), given_.why
        assert ". " not in given_.why, "one sentence"
        assert len(f"export {variable}={given_.value} # {given_.why}") <= 160
        assert shlex.quote(given_.value) == given_.value, "scripts write it as it is"


@pytest.mark.parametrize("variable", [name for name in DOCUMENTED if "TORCH" in name])
def test_torch_reads_the_variable(variable: str) -> None:
    """Names change with versions: TORCH_NCCL_ASYNC_ERROR_HANDLING was NCCL_ASYNC_ERROR_HANDLING once."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    headers = [Path(folder) / "include" for folder in spec.submodule_search_locations or ()]
    places = ("torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp", "c10/core/AllocatorConfig.h")
    texts = [
        path.read_text(encoding="utf-8") for folder in headers for name in places if (path := folder / name).exists()
    ]
    if not texts:
        pytest.skip("this torch has no headers")
    assert any(variable in text for text in texts)


@pytest.mark.parametrize(("found", "queue"), QUEUES)
def test_a_queue_asks_for_nodes_in_known_words(found: Site, queue: Queue) -> None:
    if found.scheduler == "age":
        assert queue.request, "Grid Engine has no usual way to ask for nodes"
    for line in queue.request or ():
        assert line.startswith("-")
        names = {field for _, field, _, _ in Formatter().parse(line) if field is not None}
        assert names <= PLACEHOLDERS
        assert "time" not in names, "jpfm writes the time limit itself"
    if queue.request and queue.max_nodes != 1:
        assert any("{nodes}" in line for line in queue.request), "more nodes than one must be asked for"


@given(nodes=st.integers(1, 10_000), gpus=st.integers(0, 16), cpus=st.integers(1, 512))
def test_a_request_is_whole(nodes: int, gpus: int, cpus: int) -> None:
    for _, _, found, queue in _queues():
        for line in queue.request or ():
            written = line.format(nodes=nodes, gpus=gpus, cpus=cpus, time="24:00:00")
            assert not set("{}$`\n") & set(written)
            if found.scheduler == "pbs" and written.startswith("-l select="):
                assert written.split("=", 1)[1].split(":")[0] == str(nodes)


@pytest.mark.parametrize(("found", "queue"), QUEUES)
def test_the_device_is_one_whose_speed_is_known(found: Site, queue: Queue) -> None:
    if queue.gpu is not None:
        assert queue.gpus_per_node
        assert peak.published(queue.gpu, "bf16") is not None, peak.known_devices()
    elif not found.title.startswith("a "):
        assert not queue.gpus_per_node, "which GPU?"


@pytest.mark.parametrize("name", EXPECTED)
def test_directives_add_to_what_jpfm_writes(name: str) -> None:
    found = site.find(name)
    for line in found.directives:
        assert line.startswith("-"), f"{line}: the prefix is written by jpfm"
        assert not re.match(WRITTEN_BY_JPFM[found.scheduler], line), line


@pytest.mark.parametrize("name", EXPECTED)
def test_scratch_is_a_place_on_the_node(name: str) -> None:
    found = site.find(name)
    assert re.fullmatch(r"/\w+|\$\w+|\$\{\w+:-(/tmp|\$TMP|\$\{TMPDIR:-\$TMP\})\}", found.scratch)
    if not found.scratch.startswith("$"):
        assert found.scratch in found.node_local
    assert {"/tmp", "/var/tmp", "/dev/shm"} <= set(found.node_local)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_account_is_given_as_the_site_wants_it(name: str) -> None:
    found = site.find(name)
    if found.account_option is not None:
        assert found.account_option.format(account="LAB").endswith("LAB")
        assert found.account == "required"
    if found.account_on_command_line:
        assert found.account_option is not None


def test_what_differs_between_the_big_sites() -> None:
    """The traps that were found: a job that gets one of these wrong is refused, or runs and never meets its nodes."""
    abci, miyabi, tsubame = (site.find(name) for name in ("abci3", "miyabi", "tsubame4"))
    assert (abci.account_option, miyabi.account_option) == ("-P {account}", "-W group_list={account}")
    assert tsubame.account_on_command_line
    assert not abci.account_on_command_line
    assert [found.remote for found in (abci, miyabi, tsubame)] == ["ssh", "pbsdsh", "qrsh"]
    assert any("USE_SSH=1" in line for line in abci.queues["rt_HF"].request or ()), "ssh is off without it"
    for found in (abci, miyabi):
        for queue in found.queues.values():
            asked = " ".join(queue.request or ())
            assert "ngpus" not in asked, "neither site knows that resource"
            assert "mpiprocs=1" in asked, "each node once in PBS_NODEFILE"
    assert (tsubame.queues["node_f"].max_hours, miyabi.queues["regular-g"].max_hours) == (24, 48)


@pytest.mark.parametrize(("wrong", "meant"), [("abci", "abci3"), ("tsubame", "tsubame4"), ("sakra", "sakura")])
def test_a_name_nearly_right(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        site.find(wrong)


def test_a_queue_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no queue 'rt_F'; did you mean 'rt_HF'") as raised:
        site.find("abci3").queue_named("rt_F")
    assert "rt_HC" in (raised.value.hint or "")


def test_a_lab_adds_to_a_site(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"extends: {SITES / 'abci3.yaml'}\n"
        "queue: R1234\n"
        "queues:\n"
        "  R1234: {gpus_per_node: 8, cpus_per_node: 192, max_nodes: 4, "
        'request: ["-q R1234", "-l select={nodes}:mpiprocs=1"]}\n'
        'directives: ["-v RTYPE=rt_HF,USE_SSH=1"]\n',
        encoding="utf-8",
    )
    found = site.find(str(mine))
    assert found.queue_named(None)[0] == "R1234"
    assert found.directives == ("-v RTYPE=rt_HF,USE_SSH=1",)
    assert found.account_option == "-P {account}"
    assert "rt_HF" in found.queues
