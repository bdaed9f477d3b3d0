"""Episodes: play, store, windows."""

from hplan.play.store import EpisodeStore as EpisodeStore
from hplan.play.windows import PlayData as PlayData
from hplan.play.windows import load_play as load_play
