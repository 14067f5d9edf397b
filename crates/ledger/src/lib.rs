//! C2SP tlog-tiles ledger of receipts; sans-IO with a file driver.
