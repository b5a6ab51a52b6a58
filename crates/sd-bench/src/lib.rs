//! Records of runs and measurements, and the reports made from them
