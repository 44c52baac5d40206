#!/bin/bash -e
true
