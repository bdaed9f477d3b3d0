"""The stack on disk: whole and equal after save and load, or refused in one line that names the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from levels.small_levels import map_stack, vector_stack

from hplan.levels.stack import FORMAT, METADATA, WEIGHTS, Stack, macro_text
from hplan.levels.tensors import read_tensors
from hplan.types import HplanError, UsageError

BOTH = pytest.mark.parametrize("make", [map_stack, vector_stack], ids=["maps", "vectors"])


def observation(stack: Stack) -> np.ndarray:
    spec, rng = stack.observation_spec, np.random.default_rng(0)
    if spec.kind == "vector":
        return rng.random(spec.shape, np.float32)
    return rng.integers(0, spec.cardinalities, spec.shape)


@BOTH
def test_what_was_saved_is_what_is_loaded(make: Callable[[], Stack], tmp_path: Path) -> None:
    stack = make()
    stack.save(tmp_path)
    loaded = Stack.load(tmp_path)
    for field in fields(Stack):
        if field.name not in ("levels", "calibration"):
            assert getattr(loaded, field.name) == getattr(stack, field.name), field.name
    for ours, theirs in zip(stack.calibration, loaded.calibration, strict=True):
        assert np.array_equal(ours.errors, theirs.errors)
    for ours, theirs in zip(stack.levels, loaded.levels, strict=True):
        assert (ours.index, ours.stride, ours.macro) == (theirs.index, theirs.stride, theirs.macro)
        assert ours.config == theirs.config
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key])
    seen = observation(stack)
    assert all(torch.equal(a, b) for a, b in zip(stack.encode(seen), loaded.encode(seen), strict=True))
    loaded.save(tmp_path / "again")
    for name in (METADATA, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_encode_gives_one_latent_per_level_and_info_their_shapes() -> None:
    stack = map_stack()
    latents = stack.encode(observation(stack))
    assert [tuple(z.shape) for z in latents] == [(4, 5), (4, 5)]
    info = stack.info(latents)
    assert [(entry["level"], entry["stride"]) for entry in info] == [(0, 1.0), (1, 6.5)]
    assert [macro_text(level) for level in stack.levels] == ["3 actions", "3 event types x cell"]
    assert [macro_text(level) for level in vector_stack().levels] == ["2 numbers", "8 codes"]


@BOTH
def test_lowest_cuts_every_level_s_entry(make: Callable[[], Stack]) -> None:
    stack = make()
    flat = stack.lowest(1)
    assert flat.levels == stack.levels[:1]
    assert (flat.calibration, flat.tolerance) == (stack.calibration[:1], (0.0,))
    assert stack.lowest(2) == stack
    for count in (0, 3):
        with pytest.raises(UsageError, match=f"--levels {count}: this agent has 2 levels; choose 1 to 2"):
            stack.lowest(count)


def refusal(folder: Path) -> str:
    with pytest.raises(HplanError) as caught:
        Stack.load(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    map_stack().save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
def test_truncated_weights_are_named(saved: Path, keep: float) -> None:
    path = saved / WEIGHTS
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    said = refusal(saved)
    assert WEIGHTS in said and "damaged" in said and len(said.splitlines()) == 1


def test_missing_weights_are_named(saved: Path) -> None:
    (saved / WEIGHTS).unlink()
    assert WEIGHTS in refusal(saved)


def test_weights_of_another_shape_are_refused_in_one_line(saved: Path) -> None:
    other = saved / "other"
    vector_stack().save(other)
    (saved / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    assert len(refusal(saved).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"format = 3\n", b"\xff\xfe", b"format = "], ids=["empty", "cut", "bytes", "toml"]
)
def test_damaged_metadata_is_named(saved: Path, content: bytes) -> None:
    (saved / METADATA).write_bytes(content)
    said = refusal(saved)
    assert METADATA in said and "damaged" in said and len(said.splitlines()) == 1


def test_an_action_without_a_name_among_named_ones_is_damage(saved: Path) -> None:
    lines = (saved / METADATA).read_text(encoding="utf-8-sig").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("names = [") and line != "names = []")
    if lines[first].endswith("]"):
        lines[first] = re.sub(r'\["[^"]*", ', "[", lines[first])
    else:
        del lines[first + 1]
    (saved / METADATA).write_text("\n".join(lines), encoding="utf-8")
    said = refusal(saved)
    assert METADATA in said and "names of" in said and len(said.splitlines()) == 1


def test_a_mark_that_an_editor_put_before_the_text_changes_nothing(saved: Path) -> None:
    before = Stack.load(saved)
    (saved / METADATA).write_text((saved / METADATA).read_text(), encoding="utf-8-sig")
    assert Stack.load(saved).codec == before.codec


@BOTH
def test_success_heads_are_kept_where_play_was_rewarded(make: Callable[[], Stack], tmp_path: Path) -> None:
    stack = make()
    stack.save(tmp_path)
    lower, upper = Stack.load(tmp_path).levels
    assert lower.success is not None and upper.success is None
    assert "success" in lower.parts and "success" not in upper.parts


@pytest.mark.parametrize("change", [{"format": 1}, {"format": str(FORMAT)}])
def test_another_format_is_refused(saved: Path, change: dict) -> None:
    metadata = tomllib.loads((saved / METADATA).read_text())
    (saved / METADATA).write_text(tomli_w.dumps(metadata | change))
    assert f"this hplan reads {FORMAT}" in refusal(saved)


@pytest.mark.parametrize("key", ["parts", "tolerance", "stride"])
def test_metadata_without_a_key_of_a_level_is_named(saved: Path, key: str) -> None:
    metadata = tomllib.loads((saved / METADATA).read_text())
    del metadata["level"][1][key]
    (saved / METADATA).write_text(tomli_w.dumps(metadata))
    assert key in refusal(saved)


def test_a_part_of_an_unknown_kind_is_refused(saved: Path) -> None:
    metadata = tomllib.loads((saved / METADATA).read_text())
    metadata["level"][0]["parts"]["encoder"]["kind"] = "liquid"
    (saved / METADATA).write_text(tomli_w.dumps(metadata))
    with pytest.raises(HplanError, match="encoder 'liquid' is not known: expected one of fourier, standard"):
        Stack.load(saved)


def test_a_folder_without_an_agent_and_a_half_trained_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no agent"):
        Stack.load(tmp_path)
    (tmp_path / "stages").mkdir()
    with pytest.raises(UsageError, match=r"half trained: go on with `hplan train .* --resume`"):
        Stack.load(tmp_path)


def test_weights_that_half_precision_holds_take_half_and_others_stay_as_they_are(tmp_path: Path) -> None:
    stack = vector_stack()
    rounded, exact = stack.levels[0], stack.levels[1]
    with torch.no_grad():
        for weight in rounded.parameters():
            weight.copy_(weight.half())
    stack.save(tmp_path)
    kept, _ = read_tensors(tmp_path / WEIGHTS)
    assert all(kept[f"0/{name}"].dtype == torch.float16 for name, _ in rounded.named_parameters())
    loaded = Stack.load(tmp_path)
    for before, after in zip((rounded, exact), loaded.levels, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
