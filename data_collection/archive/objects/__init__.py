"""What a data root in an object store needs: errors, batches, copies, lease, ledger."""
