"""Speed and memory, each beside a plain reference in the same run: python -m tests.benchmarks"""
