"""How a fill changes a book: average cost, realised profit and cash, in one home for kernel, ledger and reports."""
