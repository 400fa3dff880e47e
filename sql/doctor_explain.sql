-- How PostgreSQL runs a statement of the relay, without running it.
explain (verbose, costs off, format json) {statement}
