"""Tests of the landing zone and of the local S3 endpoint, against real endpoints."""
