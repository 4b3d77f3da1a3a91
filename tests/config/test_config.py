"""A configuration checks itself."""

import pytest

from nlcse_tune.config import RunConfig, SideConfig
from nlcse_tune.config.fields import known_fields, override
from nlcse_tune.errors import ConfigError
from nlcse_tune.study import find_study


def test_nan_and_infinity_are_refused() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="finite"):
            override(RunConfig(), {"text.learning_rate": value})


def test_a_value_that_exists_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().text.batch_size = 3  # type: ignore[misc]


def test_method_names() -> None:
    assert RunConfig().method == "SimCSE"
    assert RunConfig(side=SideConfig(data="x")).method == "VisualCSE"
    assert RunConfig(side=SideConfig(data="x", modality="audio")).method == "AudioCSE"


def test_every_field_says_what_it_means() -> None:
    assert [name for name, info in known_fields().items() if not info.description] == []


def test_embedded_data_have_no_other_language() -> None:
    with pytest.raises(ConfigError, match=r"language must be null with data 'synthetic', got 'de'"):
        override(find_study("demo").config, {"eval.language": "de"})


@pytest.mark.parametrize("change", [{"side.mixup": 0.5}, {"side.normalise": False}, {"side.positions": False}])
def test_what_is_audios_is_refused_for_images(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="mixup, normalise and positions are for modality audio, got image"):
        override(find_study("demo").config, change)


def test_a_list_of_sides_takes_one_several_and_no_fewer() -> None:
    images, audio = {"modality": "image", "data": "pictures"}, {"modality": "audio", "data": "clips"}
    one = RunConfig.model_validate({"side": images})
    assert RunConfig.model_validate({"side": [images]}) == one  # the same run, however it is written
    assert one.sides == (one.side,)
    assert RunConfig().sides == ()
    both = RunConfig.model_validate({"side": [images, audio]})
    assert [side.modality for side in both.sides] == ["image", "audio"]
    assert both.method == "VisualAudioCSE"
    assert RunConfig.model_validate({"side": [images, images]}).method == "VisualCSE"
    assert RunConfig.model_validate_json(both.model_dump_json()) == both
    with pytest.raises(ValueError, match="must be a side, several in a list, or null"):
        RunConfig.model_validate({"side": []})
