# A variable that is null leaves the key to the environment. The remark on the line is there because tofu prints the line when the key is missing.
provider "vultr" {
  api_key = var.vultr_api_key # none given: export VULTR_API_KEY, or set vultr_api_key in the file given to -var-file
}
