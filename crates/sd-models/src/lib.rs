//! ResNet and VGG with shallow classifiers (exits) on their stages
