"""What holds of the project as a whole: the rules of its suite, and the files that start Dagster."""
