"""A stack driven by its parts: what Transformers' own forward gives, less padding and states that nobody reads."""

import pytest
import torch
from torch import Tensor

from nlcse_tune.config import EncoderConfig, SideConfig
from nlcse_tune.models import stack
from nlcse_tune.models.backbone import FAMILIES
from nlcse_tune.models.dropout import MaskSource, masks_from
from nlcse_tune.models.encoder import SentenceEncoder, build_encoder
from nlcse_tune.models.stack import first_states, text_states
from tests.models.tiny import checkpoint

SIDE = SideConfig(data="synthetic")


@pytest.fixture(params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    torch.manual_seed(0)
    config = EncoderConfig(checkpoint=str(checkpoint(request.param, tmp_path_factory)))
    return build_encoder(config, supervised=False, sides=[SIDE])


def sentences(encoder: SentenceEncoder) -> tuple[Tensor, Tensor]:
    """Four sentences of 2 to 9 tokens; the third fills its row."""
    pad, size = int(encoder.tokenizer.pad_token_id), len(encoder.tokenizer)
    lengths = torch.tensor([4, 2, 9, 5])
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(10, size, (4, 9), generator=torch.Generator().manual_seed(1))
    return ids.where(mask.bool(), pad), mask


def source(rows: int) -> MaskSource:
    return MaskSource(torch.Generator().manual_seed(5), torch.arange(rows), rows)


@pytest.mark.parametrize("first_alone", [True, False])
def test_states_are_transformers_own(encoder: SentenceEncoder, first_alone: bool) -> None:
    ids, mask = sentences(encoder)
    encoder.eval()
    expected = encoder.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    states = text_states(encoder.backbone, ids, mask, first_alone=first_alone)
    seen = mask[:, :1] if first_alone else mask
    assert states.shape[1] == seen.shape[1]
    torch.testing.assert_close(states[seen.bool()], expected[:, : seen.shape[1]][seen.bool()], rtol=1e-5, atol=1e-5)


def test_first_states_of_a_side_are_transformers_own(encoder: SentenceEncoder) -> None:
    states = torch.randn(3, 7, encoder.width)
    encoder.eval()
    expected = encoder.backbone.encoder(states).last_hidden_state[:, 0]
    torch.testing.assert_close(first_states(encoder.backbone.encoder, states), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("first_alone", [True, False])
def test_without_padding_as_with_it(
    encoder: SentenceEncoder, first_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, under dropout: states and every gradient."""
    ids, mask = sentences(encoder)
    got = {}
    for packed in (True, False):
        if not packed:
            monkeypatch.setattr(stack, "current_masks", lambda: None)
        encoder.zero_grad()
        with masks_from(source(len(ids))):
            states = text_states(encoder.backbone, ids, mask, first_alone=first_alone)
        states = states * mask[:, : states.shape[1], None]
        states.square().sum().backward()
        gradients = {name: p.grad for name, p in encoder.backbone.named_parameters() if p.grad is not None}
        got[packed] = {"states": states, **gradients}
    assert got[True].keys() == got[False].keys()
    for name, expected in got[False].items():
        torch.testing.assert_close(got[True][name], expected, rtol=1e-4, atol=1e-4, msg=name)


def test_nothing_is_computed_for_padding(encoder: SentenceEncoder) -> None:
    """What the first layer's products see are the states that are not padding."""
    ids, mask = sentences(encoder)
    seen: list[tuple[int, ...]] = []
    layer = encoder.backbone.encoder.layer[0]  # type: ignore[union-attr, index]
    layer.intermediate.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[:-1]))
    last = encoder.backbone.encoder.layer[-1]  # type: ignore[union-attr, index]
    last.intermediate.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[:-1]))
    with masks_from(source(len(ids))):
        encoder.pooled(ids, mask)
    assert seen == [(int(mask.sum()),), (len(ids), 1)]
