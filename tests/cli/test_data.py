"""`nlcse-tune data` as a user meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlcse_tune.data.registry import DATA_SETS
from tests.cli.conftest import Cli
from tests.publisher import BadDay, publishing

PAIRS = b'"a","b",1\n"c","d",2\n'


def test_the_list_and_one_of_it(cli: Cli) -> None:
    listed = cli("data", "list")
    assert listed.status == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[::2]] == list(DATA_SETS)
    assert all(len(line) <= 100 for line in listed.stdout.splitlines())
    assert listed.stdout.count("not here") == len(DATA_SETS) - 1
    shown = cli("data", "show", "librispeech50").stdout
    assert "licence: CC BY 4.0" in shown
    assert "train-clean-100.tar.gz: d4ddd1d5" in shown
    assert "(not there: `nlcse-tune data fetch librispeech50`)" in shown
    assert "by hand: ImageNet is given to people alone" in cli("data", "show", "imagenet60").stdout
    assert "made on the spot" in cli("data", "show", "demo").stdout


def test_offline_and_by_hand_are_one_message(cli: Cli) -> None:
    done = cli("data", "fetch", "cifar10")
    assert done.status == 1
    assert "licence: none stated" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "HF_HUB_OFFLINE says that this machine is offline" in line
    assert "register at https://image-net.org" in cli("data", "fetch", "imagenet60").stderr
    assert "did you mean 'cifar10'" in cli("data", "fetch", "demo", "cifar1").stderr
    assert "is for one data set, got 2" in cli("data", "fetch", "demo", "nli", "--to", "x").stderr


def test_prepared_verified_and_shown(cli: Cli, tmp_path: Path) -> None:
    assert "no data set is here" in cli("data", "verify", "--data", "mine").stdout
    (tmp_path / "given").mkdir()
    for name in DATA_SETS["stsb_multi_mt"].files:
        (tmp_path / "given" / name.url.rpartition("/")[2]).write_bytes(PAIRS)
    done = cli("data", "prepare", "stsb_multi_mt", "--from", "given", "--data", "mine")
    assert done.status == 0, done.stderr
    assert f"stsb_multi_mt: {tmp_path / 'mine/stsb_multi_mt'}" in done.stdout
    assert "zh: 2 scored pairs" in done.stdout
    assert "given" in cli("data", "show", "stsb_multi_mt", "--data", "mine").stdout
    verified = cli("data", "verify", "--data", "mine")
    assert (verified.status, verified.stderr) == (0, "")
    assert verified.stdout.endswith(": as it was made\n")
    (tmp_path / "mine/stsb_multi_mt/stsb-zh-dev.csv").unlink()
    verified = cli("data", "verify", "stsb_multi_mt", "--data", "mine")
    assert verified.status == 1
    assert verified.stderr == "  stsb_multi_mt/stsb-zh-dev.csv: missing\n"
    assert cli("data", "verify", "nli").status == 1


def test_a_list_of_classes_is_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ILSVRC/train/n01440764").mkdir(parents=True)
    (tmp_path / "classes.txt").write_text("n01440764 tench\n\nn09999999\n")
    done = cli("data", "prepare", "imagenet60", "--from", "ILSVRC", "--classes", "classes.txt")
    assert "2 of 2 classes are missing or empty: n01440764, n09999999" in done.stderr
    assert (
        "none.txt: not found: give a file to --classes"
        in cli("data", "prepare", "imagenet60", "--from", "ILSVRC", "--classes", "none.txt").stderr
    )


def test_a_list_without_classes_is_no_draw_by_seed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ILSVRC").mkdir()
    (tmp_path / "empty.txt").write_text("\n \n")
    done = cli("data", "prepare", "imagenet60", "--from", "ILSVRC", "--classes", "empty.txt")
    assert done.status != 0
    assert "--classes empty.txt: names no class; write one per line, or leave it out" in done.stderr


def test_what_early_versions_called_senteval(cli: Cli, tmp_path: Path) -> None:
    assert cli("data", "show", "sts").stdout == cli("data", "show", "senteval").stdout != ""
    (tmp_path / "x.tar").touch()
    done = cli("data", "prepare", "sts", "--from", "x.tar")
    assert "x.tar: not a tar archive" in done.stderr
    assert "cifar1: no such data set; did you mean 'cifar10'" in cli("data", "show", "cifar1").stderr


def test_a_missing_input_names_the_command(cli: Cli, tmp_path: Path) -> None:
    dev = tmp_path / "data/senteval/STS/STSBenchmark/sts-dev.csv"
    dev.parent.mkdir(parents=True)
    dev.write_text("g\tf\ty\t1\t1\ta\tb\n" * 2 + "g\tf\ty\t1\t2\ta\tb\n")
    scratch = ["--set", "train.precision=fp32", "--set", "encoder.checkpoint=scratch"]
    done = cli("train", "simcse-bert", *scratch)
    assert "wiki1m_for_simcse.txt: no such file; set text.data to one; run `nlcse-tune data fetch wiki1m`" in (
        done.stderr
    )
    offline = cli("train", "simcse-bert", "--set", "train.precision=fp32", "--set", "encoder.checkpoint=nosuch/bert")
    assert "encoder.checkpoint: nosuch/bert: no folder of this name" in offline.stderr
    assert "HF_HUB_OFFLINE" in offline.stderr


def test_an_interrupted_fetch_goes_on(tmp_path: Path) -> None:
    """In processes of their own, with the hub at HF_ENDPOINT: lines in a log, then a call that asks for the rest."""
    content = b"a sentence\n" * 1_000_000
    source = DATA_SETS["wiki1m"].source
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    with publishing() as hub:
        hub.on_hub(source.repository, source.path, content, source.revision)  # type: ignore[union-attr]
        hub.bad_days = [BadDay(cut=3_000_000), BadDay(status=403)]
        environment["HF_ENDPOINT"] = hub.address
        command = [sys.executable, "-m", "nlcse_tune", "data", "fetch", "wiki1m", "--data", "big"]
        first, second = (
            subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
            for _ in range(2)
        )
        asked = [line for line in hub.asked if line.startswith("GET")]
    assert first.returncode == 1
    assert "403 Forbidden" in first.stderr.splitlines()[-1]
    assert second.returncode == 0, second.stderr
    assert "wiki1m_for_simcse.txt, MB: 11 of 11" in second.stderr
    assert second.stdout.splitlines()[-1] == "  1,000,000 items"
    assert asked == ["GET", "GET bytes=3000000-", "GET bytes=3000000-"]
    assert (tmp_path / "big/text/wiki1m_for_simcse.txt").read_bytes() == content


@pytest.mark.parametrize("words", ["list", "show nli", "verify demo"])
def test_light_commands_import_nothing_heavy(words: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv[1:] = ['data', *{words.split()!r}]\nfrom nlcse_tune.cli.main import main\ntry: main()\n"
    )
    code += "except SystemExit: pass\nprint({'torch', 'ray', 'transformers', 'optuna'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
