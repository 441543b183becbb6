"""hfft: fine-tune pretrained image and text models of the Hugging Face ecosystem by recipe."""
