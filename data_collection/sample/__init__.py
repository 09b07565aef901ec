"""A simulated archive: trades with realistic bursts, and every archive type derived from them.

from data_collection.sample import SampleSpec, write_sample
written = write_sample(Path("archive"), SampleSpec(symbols=universe(3), days=3, seed=7))
"""

from data_collection.sample.instruments import Instrument, instrument, universe
from data_collection.sample.spec import SampleSpec
from data_collection.sample.write import Written, write_sample

__all__ = ["Instrument", "SampleSpec", "Written", "instrument", "universe", "write_sample"]
