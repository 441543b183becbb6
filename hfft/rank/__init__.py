"""Which pretrained model suits some data: scores of features, without fine-tuning."""
