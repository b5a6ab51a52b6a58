//! Image data sets, augmentation and a parallel loader, without any tensor library
