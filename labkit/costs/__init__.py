"""What a workload costs a month, and the hardware it takes."""
