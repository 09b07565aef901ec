"""A data root in an object store: the store, errors, batches, copies, uploads, lease, ledger."""
