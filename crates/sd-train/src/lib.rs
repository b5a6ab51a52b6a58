//! Trains, evaluates and counts image classifiers with exits
