//! signalcore: a Bitcoin miner for pools, solo mining and ASIC boards.
