"""What every engine is given: the job, the recorder, the limits that hold a run back."""
