"""Attention that keeps documents apart."""
