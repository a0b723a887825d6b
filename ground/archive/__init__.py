"""The archive: everything that the station was asked and has heard, in SQLite or any database SQLAlchemy speaks to."""

from ground.archive.archive import Archive
from ground.archive.batch import Batch, EventEntry, PacketEntry, PassEntry, Sample

__all__ = ["Archive", "Batch", "EventEntry", "PacketEntry", "PassEntry", "Sample"]
