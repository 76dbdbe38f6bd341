"""The generated problem bank: the embedded, offline source of questions, traces and documents."""
