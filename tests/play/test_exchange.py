"""Episodes that come from elsewhere or go there: OGBench's files and Minari."""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer
from toy_world import Corridor, Plane

from hplan.codec import Codec
from hplan.config import PlayConfig, TaskConfig
from hplan.play.exchange import canonical_actions, export_minari, import_minari, import_ogbench
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.play.store import EpisodeStore
from hplan.types import ActionSpec, HplanError, ObservationSpec, UsageError

LENGTHS = (4, 1, 6)  # steps


@pytest.fixture
def ogbench_file(tmp_path: Path) -> Path:
    """Two .npz files as OGBench publishes them: a row per observation, terminals 1 on the last of each episode."""
    pytest.importorskip("ogbench")
    terminals = np.concatenate([[0.0] * length + [1.0] for length in LENGTHS])
    rows = np.arange(len(terminals), dtype=np.float32)
    columns = {"observations": np.stack([rows, -rows], 1), "actions": np.stack([rows / 99] * 3, 1)}
    for name in ("pointmaze-medium-navigate-v0.npz", "pointmaze-medium-navigate-v0-val.npz"):
        np.savez(tmp_path / name, **columns, terminals=terminals)
    return tmp_path / "pointmaze-medium-navigate-v0.npz"


def test_ogbench_files_become_episodes(ogbench_file: Path, tmp_path: Path) -> None:
    store = import_ogbench("ogbench/pointmaze-medium-navigate", tmp_path / "store", file=ogbench_file)
    assert (store.manifest.source, store.manifest.task) == ("official", "ogbench/pointmaze-medium-navigate")
    assert tuple(len(e) for e in store) == LENGTHS
    row = 0
    for episode in store:
        assert np.array_equal(episode.observations[:, 0], np.arange(row, row + len(episode) + 1))
        assert np.allclose(episode.actions[:, 0] * 99, episode.observations[:-1, 0])
        row += len(episode) + 1
    data = load_play(tmp_path / "store")
    assert (data.steps, len(data.starts(4))) == (sum(LENGTHS), 1 + 3)
    with pytest.raises(UsageError, match="already holds"):
        import_ogbench("pointmaze-medium-navigate-v0", tmp_path / "store", file=ogbench_file)


def test_ogbench_file_that_is_missing_or_visual(ogbench_file: Path, tmp_path: Path) -> None:
    with pytest.raises(HplanError, match=r"nothing\.npz: not loaded .* use `hplan data make`"):
        import_ogbench("pointmaze-medium-navigate", tmp_path / "store", file=tmp_path / "nothing.npz")
    for path in (ogbench_file, ogbench_file.with_stem(ogbench_file.stem + "-val")):
        columns = dict(np.load(path))
        np.savez(path, **columns | {"observations": np.zeros((len(columns["terminals"]), 2, 2, 3), np.uint8)})
    with pytest.raises(UsageError, match=r"\(2, 2, 3\)"):
        import_ogbench("visual-antmaze-medium-navigate", tmp_path / "store", file=ogbench_file)


@pytest.fixture(autouse=True, scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        yield


def columns(values: list[Any]) -> Any:
    """Elements of a space, as Minari keeps them: an array of each part."""
    if isinstance(values[0], dict):
        return {key: columns([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], tuple):
        return tuple(columns(list(part)) for part in zip(*values, strict=True))
    return np.array(values)


NUMBERS = itertools.count()
T = 5
LINE, ENDS = spaces.Box(-np.inf, np.inf, (2,), np.float32), np.arange(T + 1) == T
PUSH, MOVES = spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(3)


def data_set(
    observation_space: spaces.Space = LINE,
    action_space: spaces.Space = PUSH,
    *,
    observations: Any = None,
    actions: Any = None,
    rewards: Any = (0.0,) * T,
    infos: Any = None,
    seeds: tuple[int | None, ...] = (None,),
    terminated: bool = True,
) -> str:
    """A Minari data set of episodes of T steps, of samples where nothing is given."""
    name, buffers = f"hplan/case{next(NUMBERS)}-v0", []
    for number, seed in enumerate(seeds):
        for space in (observation_space, action_space):
            space.seed(number)
        seen = [observation_space.sample() for _ in range(T + 1)] if observations is None else observations
        acted = [action_space.sample() for _ in range(T)] if actions is None else actions
        ends = [False] * (T - 1) + [True]
        buffers.append(
            EpisodeBuffer(
                id=number,
                seed=seed,
                observations=columns(list(seen)),
                actions=columns(list(acted)),
                rewards=list(rewards),
                terminations=ends if terminated else [False] * T,
                truncations=[False] * T if terminated else ends,
                infos=infos,
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no author, no environment and no reference score
        minari.create_dataset_from_buffers(
            name,
            buffer=buffers,
            observation_space=observation_space,
            action_space=action_space,
            algorithm_name="made up",
            description="made up",
            requirements=[],
        )
    return name


def assert_same(one: EpisodeStore, other: EpisodeStore) -> None:
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        for name in ("observations", "actions", "rewards", "success", "violation"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype, name
        assert (ours.terminated, ours.seed) == (theirs.terminated, theirs.seed)
    assert one.manifest.observation_spec == other.manifest.observation_spec


def test_large_numbers_of_a_data_set_keep_their_steps_there_and_back(tmp_path: Path) -> None:
    space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    seen = [np.array([1.7e9 + i, 0.5 * i]) for i in range(T + 1)]
    store = import_minari(data_set(observation_space=space, observations=seen), tmp_path / "in")
    assert store.manifest.codec.offset == (1.7e9, 0.0)
    assert next(iter(store)).observations.tolist() == [[i, 0.5 * i] for i in range(T + 1)]
    export_minari(tmp_path / "in", "hplan/large-v0")
    raw = next(minari.load_dataset("hplan/large-v0").iterate_episodes()).observations
    assert raw.dtype == np.float64 and np.array_equal(raw, np.stack(seen))
    again = import_minari("hplan/large-v0", tmp_path / "again")
    assert again.manifest.codec.offset == store.manifest.codec.offset
    assert_same(store, again)


@pytest.mark.parametrize("make", [Corridor, Plane])
def test_minari_there_and_back(tmp_path: Path, make: type) -> None:
    task = TaskConfig(name="toy", environment="toy", play=PlayConfig(episode_steps=20))
    store = play(task, tmp_path / "store", steps=100, seed=0, make=make)
    name = f"hplan/{make.__name__}-v0"
    assert export_minari(tmp_path / "store", name) == len(store)
    assert_same(store, import_minari(name, tmp_path / "back"))
    with pytest.raises(UsageError, match=f"{make.__name__}-v0"):
        export_minari(tmp_path / "store", name)
    with pytest.raises(UsageError, match=rf"minari download hplan/absent-v0.* here are .*{name}"):
        import_minari("hplan/absent-v0", tmp_path / "absent")


counts = st.lists(st.integers(1, 5), min_size=1, max_size=4)
discrete = st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 500), st.integers(-3, 3))
many = st.builds(lambda n, start: spaces.MultiDiscrete(n, start=np.full(len(n), start)), counts, st.integers(-2, 2))
binary = st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 20), st.just([2, 3])))
shapes = st.sampled_from([(1,), (3,), (2, 3), (2, 3, 2)])
integers = st.builds(lambda low, span, shape: spaces.Box(low, low + span, shape, np.int64), st.integers(-3, 3),
                     st.integers(1, 9), shapes)  # fmt: skip
floats = st.builds(
    lambda shape, kind: spaces.Box(-2, 3, shape, kind), shapes, st.sampled_from([np.float32, np.float64])
)
leaves = st.one_of(discrete, many, binary, integers, floats)
goals = st.builds(
    lambda own, goal: spaces.Dict(observation=own, achieved_goal=goal, desired_goal=goal),
    st.builds(lambda n: spaces.Box(-2, 3, (n,)), st.integers(1, 3)),
    st.builds(lambda n: spaces.Box(-2, 3, (n,)), st.integers(1, 3)),
)
observed = st.one_of(
    leaves,
    goals,
    st.dictionaries(st.sampled_from("abc"), st.one_of(discrete, many, floats), min_size=1).map(spaces.Dict),
    st.lists(st.one_of(discrete, binary, floats), min_size=1, max_size=3).map(spaces.Tuple),
)
acted = st.one_of(discrete.filter(lambda space: space.n <= 256), many, binary.filter(lambda b: b.n != 20), floats)


@settings(max_examples=40, deadline=None)
@given(observed, acted, st.lists(st.integers(0, 2**31), min_size=1, max_size=3), st.booleans())
def test_all_spaces_of_play_are_imported_and_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    seeds: list[int],
    terminated: bool,
) -> None:
    decode = Codec.of(observation_space, action_space, "made up").decode
    folder = tmp_path_factory.mktemp("stores")
    name = data_set(observation_space, action_space, seeds=tuple(seeds), terminated=terminated)
    store = import_minari(name, folder / "one")
    load_play(folder / "one")
    for episode, theirs in zip(store, minari.load_dataset(name).iterate_episodes(), strict=True):
        raw = [np.asarray(decode(action)) for action in episode.actions]
        assert np.allclose(raw, theirs.actions), "an action is the one that was taken"
        assert episode.observations.shape == (T + 1, *store.manifest.observation_spec.shape)
        assert episode.terminated == terminated
    assert [episode.seed for episode in store] == seeds
    again = name.replace("-v0", "-v1")
    export_minari(folder / "one", again)
    assert_same(store, import_minari(again, folder / "two"))


def test_goals_are_left_out_of_what_is_observed(tmp_path: Path) -> None:
    """As in play: what is achieved, then the rest; and the observation alone where all three are of one space."""
    place, rest = spaces.Box(-1, 1, (2,), np.float64), spaces.Box(-1, 1, (3,), np.float64)
    space = spaces.Dict(observation=rest, achieved_goal=place, desired_goal=place)
    seen = [{"observation": np.full(3, i / 9), "achieved_goal": [-i / 9, 0], "desired_goal": [1, 1]} for i in range(6)]
    store = import_minari(data_set(space, observations=seen), tmp_path / "a")
    assert np.allclose(next(iter(store)).observations[3], [-3 / 9, 0, 3 / 9, 3 / 9, 3 / 9])
    assert next(iter(store)).mission == (1, 1), "what it asks for"
    moved = [{**one, "desired_goal": [1, i / 9]} for i, one in enumerate(seen)]
    store = import_minari(data_set(space, observations=moved), tmp_path / "c")
    assert next(iter(store)).mission == "", "one thing and then another"
    same = spaces.Dict(observation=place, achieved_goal=place, desired_goal=place)
    store = import_minari(data_set(same), tmp_path / "b")
    assert store.manifest.observation_spec == ObservationSpec("vector", (2,))


HUGE = spaces.Box(-np.inf, np.inf, (2,), np.float64)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            {"observations": [np.full(2, np.nan if i == 2 else i) for i in range(6)]},
            r"step 2: observation array\(\[nan, nan\]\) .*not finite",
        ),
        ({"observations": [np.full(2, np.inf)] * (T + 1)}, "step 0: observation .*inf.*not finite"),
        (
            {"observations": [np.full(2, 1e300)] * (T + 1), "observation_space": HUGE},
            "step 0: observation .*1.e.300.*not finite",
        ),
        ({"rewards": [0.0, np.nan, 0.0, 0.0, 0.0]}, "rewards hold nan at step 1"),
        ({"rewards": [1e300] * T}, "rewards hold inf at step 0"),
        ({"actions": [np.full(1, np.nan, np.float32)] * T}, "actions hold nan at step 0"),
        ({"actions": [1, 2, 3, 1, 2], "action_space": MOVES}, "step 2: action 3 is outside its space Discrete"),
        ({"observations": [0, 1, 2, 3, 4, 9], "observation_space": spaces.Discrete(5)}, "step 5: .*9"),
        ({"observations": np.zeros((T, 2), np.float32)}, "has 5 observations for 5 steps; expected 6"),
        ({"infos": {"success": {"left": ENDS, "right": ENDS}}}, r"info 'success' has parts \['left', 'right'\]"),
        ({"infos": {"success": np.zeros((T, 2))}}, r"info 'success' has shape \(5, 2\); expected one"),
        ({"infos": {"is_success": ["no"] * T}}, "info 'is_success' has shape"),
    ],
)
def test_odd_episodes_are_named(tmp_path: Path, odd: dict[str, Any], told: str) -> None:
    with pytest.raises(HplanError, match=rf"episode 0.*{told}") as caught:
        import_minari(data_set(**odd), tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store/manifest.json").exists()


@pytest.mark.parametrize(
    ("infos", "rewards", "expected"),
    [
        ({"is_success": ENDS}, [0.0] * T, [4]),
        ({"success": ENDS[1:], "is_success": ~ENDS}, [0.0] * T, [4]),
        ({"success": np.array([np.nan] * T + [1.0])}, [0.0] * T, [4]),
        ({"success": np.arange(T + 1)[:, None] == 3}, [0.0] * T, [2]),
        ({}, [0.0, 0.0, 0.0, 0.0, 1.0], [4]),
        ({}, [1.0] * T, []),  # every step is paid, so that ending is none
        ({}, [0.0] * T, []),
        ({"success": ~ENDS[1:] & ENDS[1:]}, [0.0, 0.0, 0.0, 0.0, 1.0], []),
    ],
)
def test_success_is_that_of_play(tmp_path: Path, infos: dict[str, Any], rewards: list[float], expected: list) -> None:
    one = next(iter(import_minari(data_set(infos=infos or None, rewards=rewards), tmp_path / "store")))
    assert np.flatnonzero(one.success).tolist() == expected


def test_a_time_limit_is_no_success(tmp_path: Path) -> None:
    store = import_minari(data_set(rewards=[0, 0, 0, 0, 1.0], terminated=False), tmp_path / "store")
    assert not next(iter(store)).success.any()


@pytest.mark.parametrize("name", ["violation", "constraint_violation", "cost"])
def test_violations_are_those_of_play(tmp_path: Path, name: str) -> None:
    store = import_minari(data_set(infos={name: np.array([0, 0, 0, 2.5, 0, np.nan])}), tmp_path / "store")
    assert np.flatnonzero(next(iter(store)).violation).tolist() == [2]


def test_episodes_without_seeds_are_layouts_of_their_own(tmp_path: Path) -> None:
    assert [e.seed for e in import_minari(data_set(seeds=(None, 7, 7)), tmp_path / "some")] == [0, 1, 2]
    assert [e.seed for e in import_minari(data_set(seeds=(9, 7, 7)), tmp_path / "all")] == [9, 7, 7]


@pytest.mark.parametrize(
    ("space", "spec"),
    [
        (spaces.Discrete(500), ObservationSpec("symbols", (1, 1, 1), (500,))),
        (spaces.Box(0, 3, (2, 2, 1), np.int64), ObservationSpec("symbols", (2, 2, 1), (4,))),
        (spaces.Box(-np.inf, np.inf, (3,)), ObservationSpec("vector", (3,))),
    ],
)
def test_spaces_of_other_data_sets(tmp_path: Path, space: spaces.Space, spec: ObservationSpec) -> None:
    manifest = import_minari(data_set(space, spaces.MultiDiscrete([2, 3])), tmp_path / "store").manifest
    assert (manifest.observation_spec, manifest.action_spec) == (spec, ActionSpec("discrete", 6))


def test_spaces_that_play_refuses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"observation space Box.* is not supported"):
        import_minari(data_set(spaces.Box(0, 255, (8, 8, 3), np.uint8), MOVES), tmp_path / "store")


def test_actions_that_are_a_product_here_and_numbers_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        HplanError, match=r"actions of Box\(0, 3, \(1,\), int64\) cannot be imported; expected Discrete"
    ):
        import_minari(data_set(LINE, spaces.Box(0, 3, (1,), np.int64)), tmp_path / "store")


def test_actions_without_bounds_are_imported_as_they_are(tmp_path: Path) -> None:
    manifest = import_minari(data_set(LINE, spaces.Box(-np.inf, np.inf, (1,), np.float32)), tmp_path / "store").manifest
    assert manifest.action_spec == ActionSpec("continuous", 1, (-3.0,), (3.0,))


def test_canonical_actions_undo_the_codec() -> None:
    space = spaces.MultiDiscrete([[2, 3], [1, 4]], start=[[0, 1], [5, -1]])
    decode = Codec.of(LINE, space, "made up").decode
    assert canonical_actions(space, np.stack([decode(a) for a in range(24)]), "here").tolist() == list(range(24))
    with pytest.raises(HplanError, match=r"here, step 1: action 1\.5 is outside"):
        canonical_actions(MOVES, np.array([1.0, 1.5]), "here")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 3.0, (2, 2)),
        spaces.Box(-3e38, 3e38, (2,)),
        spaces.Box(1e9, 1e9 + 1e-3, (2,), np.float64),
        spaces.Box(np.array([0.0, 7.0]), np.array([1.0, 7.0]), dtype=np.float64),
    ],
    ids=str,
)
def test_canonical_actions_undo_the_codec_of_a_box_of_any_bounds(space: spaces.Box) -> None:
    codec = Codec.of(LINE, space, "made up")
    drawn = np.stack([codec.random_action(np.random.default_rng(seed)) for seed in range(20)])
    raw = np.stack([codec.decode(action) for action in drawn])
    varies = (space.high > space.low).ravel()
    assert np.allclose(canonical_actions(space, raw, "here")[:, varies], drawn[:, varies], atol=1e-3)
    assert not canonical_actions(space, raw, "here")[:, ~varies].any()


@pytest.mark.parametrize("job", [export_minari, import_minari])
def test_without_minari_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: object) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UsageError, match=r"pip install 'hplan\[data\]'"):
        job(str(tmp_path), str(tmp_path))


def test_choices_of_more_combinations_than_are_tabled_are_imported_as_the_numbers_that_they_are() -> None:
    space = spaces.MultiDiscrete([20, 300], start=[3, -7])
    decode = Codec.of(LINE, space, "made up").decode
    raw = np.array([[3, -7], [22, 292], [10, 0]])
    assert [decode(each).tolist() for each in canonical_actions(space, raw, "here")] == raw.tolist()
    with pytest.raises(HplanError, match=r"step 1: action .* is outside"):
        canonical_actions(space, np.array([[3, 0], [23, 0]]), "here")


@pytest.mark.parametrize("space", [spaces.Box(0, 1000, (2,), np.int64), spaces.Tuple([spaces.Discrete(2)])])
def test_actions_whose_canonical_form_is_another_are_not_imported_as_they_are(space: spaces.Space) -> None:
    with pytest.raises(HplanError, match=r"odd: actions of .* cannot be imported; expected Discrete"):
        canonical_actions(space, np.zeros((3, 2)), "odd")
