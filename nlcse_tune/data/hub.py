"""What the Hugging Face hub has: files of data sets, checkpoints of studies. One question, without retries for minutes.

Offline (HF_HUB_OFFLINE) nobody is asked, and what is missing is named before anything slow starts.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nlcse_tune.config import SCRATCH, RunConfig
from nlcse_tune.config.fields import inputs
from nlcse_tune.data.download import Remote
from nlcse_tune.data.registry import DataSet, HubFiles
from nlcse_tune.errors import DataError, RunError, first_line

CONFIG_FILE = "config.json"  # in every folder of transformers
MODULES_FILE = "modules.json"  # in every folder of sentence-transformers
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SECONDS = 5.0  # for one question; the library itself asks six times, 23 s in all
_SHA256 = re.compile("[0-9a-f]{64}")  # what the hub's ETag is of large files; of small ones it is git's


def offline() -> bool:
    """Whether nothing is to be asked of any server."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def remote_files(dataset: DataSet) -> list[Remote]:
    """Where a data set's files are, with sizes and checksums as far as they are known. RunError without the hub."""
    source = dataset.source
    if not isinstance(source, HubFiles):
        return [Remote(file.url.rpartition("/")[2], file.url, file.size, file.sha256) for file in dataset.files]
    try:
        return list(_folder(source)) if source.path.endswith("/") else [_file(source)]
    except Exception as error:  # whatever the transport raises: there is no common class
        raise RunError(
            f"{source.repository}/{source.path}: cannot be downloaded ({type(error).__name__}: {first_line(error)}); "
            "set HF_ENDPOINT to the address of a mirror, or fetch the file elsewhere, copy it here and run "
            f"`nlcse-tune data prepare {dataset.name} --from FILE`"
        ) from error


def _file(source: HubFiles) -> Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(source.repository, source.path, repo_type="dataset", revision=source.revision)
    found = get_hf_file_metadata(url, retry_on_errors=True)
    return Remote(source.path, url, found.size, found.etag if _SHA256.fullmatch(found.etag or "") else None)


def _folder(source: HubFiles) -> Iterable[Remote]:
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.hf_api import RepoFile

    path, repository = source.path.rstrip("/"), source.repository
    for file in HfApi().list_repo_tree(repository, path, revision=source.revision, repo_type="dataset"):
        if isinstance(file, RepoFile):
            url = hf_hub_url(repository, file.path, repo_type="dataset", revision=source.revision)
            yield Remote(Path(file.path).name, url, file.size, file.lfs.sha256 if file.lfs else None)


def cached_file(dataset: DataSet) -> Path | None:
    """The file of a data set in the hub's own cache, where another program put it."""
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(source := dataset.source, HubFiles) or source.path.endswith("/"):
        return None
    found = try_to_load_from_cache(source.repository, source.path, revision=source.revision, repo_type="dataset")
    return Path(found) if isinstance(found, str) else None


def check_checkpoints(configs: Iterable[RunConfig]) -> None:
    """DataError for a checkpoint of these runs that is no folder, not in the hub's cache, and not to be had from it."""
    for config in configs:
        for field, value in inputs(config).items():
            if not field.endswith("checkpoint") or value == SCRATCH or Path(value).exists():
                continue
            if not in_cache(value, weights=True) and (why := hub_fails(value)):
                raise DataError(
                    f"{field}: {value}: no folder of this name, and {why}; on a machine that reaches the hub run "
                    f"`hf download {value}` and copy its cache (HF_HOME), or set {field} to a folder"
                )


@cache
def hub_fails(model: str) -> str | None:
    """Why the Hugging Face hub is of no help with `model`; None where it has it. One question, without retries."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        url = hf_hub_url(model, CONFIG_FILE)
        if constants.is_offline_mode():
            return "the Hugging Face hub was not asked (HF_HUB_OFFLINE), nor is it in its cache here"
        get_hf_file_metadata(url, timeout=SECONDS)
    except HFValidationError:
        return "the Hugging Face hub cannot have one"
    except EntryNotFoundError:
        return None  # a model all the same, of another kind
    except GatedRepoError:
        return "the Hugging Face hub gives it to those alone who asked for access"
    except RepositoryNotFoundError:
        return "the Hugging Face hub has none"
    except Exception as error:  # whatever the transport raises: there is no common class
        return f"the Hugging Face hub cannot be reached ({type(error).__name__}), nor is it in its cache here"
    return None


def in_cache(model: str, *, weights: bool = False) -> bool:
    """Whether an earlier call brought the model from the hub, with its weights where they are asked for."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def has(*names: str) -> bool:
        return any(isinstance(try_to_load_from_cache(model, name), str) for name in names)

    try:
        return has(CONFIG_FILE, MODULES_FILE) and (not weights or has(*_WEIGHTS))
    except HFValidationError:
        return False
