"""The calculator: pages/s of each engine for a job that was not measured, from a cost model fitted to a comparison."""
