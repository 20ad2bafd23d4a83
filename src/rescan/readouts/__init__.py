"""What people read of new samples: pictures under maps, one page, DICOM files for the patient's record."""
