# State and saved plans hold root passwords and storage keys, so they are only ever written encrypted. docs/state.md tells where the key is and how to share it.
terraform {
  encryption {
    key_provider "external" "elephant" {
      command = ["python3", "${path.module}/state_key.py", var.cluster_name]
    }

    method "aes_gcm" "elephant" {
      keys = key_provider.external.elephant
    }

    state {
      method   = method.aes_gcm.elephant
      enforced = true
    }

    plan {
      method   = method.aes_gcm.elephant
      enforced = true
    }
  }
}
