"""Episodes: play, store, windows."""

from hplan.data.store import EpisodeStore as EpisodeStore
from hplan.data.windows import PlayData as PlayData
from hplan.data.windows import load_play as load_play
