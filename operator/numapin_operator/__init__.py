"""The brain: decides which socket each opted-in pod gets, and judges whether it worked."""
