//! Worker scores, placement of partitions and judgement of death. Pure: no I/O, time is passed in.
