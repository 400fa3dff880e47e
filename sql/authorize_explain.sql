-- Plans the operator's statement and looks at the privileges that it needs, without running it.
explain (costs off) {statement}
