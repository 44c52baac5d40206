"""What proves or measures by building again: tests in rings, benchmarks, the same bytes."""
