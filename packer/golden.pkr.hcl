# Bakes a golden image: a clone of the base template, provisioned over SSH, turned into a template.
# Run by packer/run.ts, which gives every variable. Credentials come from the environment (PROXMOX_USERNAME,
# PROXMOX_TOKEN) and Proxmox's CA from SSL_CERT_FILE.
#
# Written for hashicorp/packer-plugin-proxmox 1.1.1 and later: it keeps to what all of them know (`clone_vm`,
# `device`; no `tags`, no upload). Tags and the leftovers of a build are the matter of packer/tidy.ts.

packer {
  required_plugins {
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.1.1"
    }
  }
}

variable "proxmox_url" { type = string }
variable "node" { type = string }
variable "pool" { type = string }
variable "vm_id" { type = number }
variable "vm_name" { type = string }
variable "base_name" { type = string }
variable "template_name" { type = string }
variable "template_description" { type = string }
variable "cores" { type = number }
variable "memory" { type = number }
variable "bridge" { type = string }
variable "vlan" { type = string }
variable "mac" { type = string }
variable "seed" { type = string }
variable "ssh_host" { type = string }
variable "ssh_key_file" { type = string }
variable "ssh_timeout" { type = string }
variable "socks_host" { type = string }
variable "socks_port" { type = number }
variable "scripts" { type = string }
variable "inputs" { type = list(string) }
variable "archives" { type = list(string) }
variable "inventory" { type = string }
variable "sbom" { type = string }
variable "sbom_command" { type = string }

locals {
  # In memory in the guest: what lies there can't end up in the template.
  work = "/run/golden-bake"
  # The archives are too big for that.
  large = "/var/tmp/golden-bake"
  root  = "sudo -n sh {{ .Path }}"
}

source "proxmox-clone" "golden" {
  proxmox_url  = var.proxmox_url
  node         = var.node
  pool         = var.pool
  task_timeout = "30m"

  clone_vm   = var.base_name
  full_clone = true
  vm_id      = var.vm_id
  vm_name    = var.vm_name

  os              = "l26"
  cpu_type        = "x86-64-v2-AES"
  cores           = var.cores
  memory          = var.memory
  scsi_controller = "virtio-scsi-pci"
  boot            = "order=scsi0"
  qemu_agent      = true

  network_adapters {
    model       = "virtio"
    bridge      = var.bridge
    vlan_tag    = var.vlan
    mac_address = var.mac
    # Slots get rules of their own; the build VM is reached from wherever the site's owner bakes.
    firewall = false
  }

  additional_iso_files {
    device   = "scsi30"
    iso_file = var.seed
    unmount  = true
  }

  template_name        = var.template_name
  template_description = var.template_description

  communicator         = "ssh"
  ssh_host             = var.ssh_host
  ssh_username         = "bake"
  ssh_private_key_file = var.ssh_key_file
  ssh_timeout          = var.ssh_timeout
  # A guest's first boot closes early connections; the time-out above is what ends the wait.
  ssh_handshake_attempts       = 1000
  ssh_disable_agent_forwarding = true
  ssh_proxy_host               = var.socks_host
  ssh_proxy_port               = var.socks_port
}

build {
  sources = ["source.proxmox-clone.golden"]

  # `skip_clean` everywhere: Packer would remove a script by its path, which is in memory anyway, and the last one
  # takes the user away whose session would have to do it.
  provisioner "shell" {
    script          = "${var.scripts}/wait.sh"
    execute_command = local.root
    skip_clean      = true
  }

  provisioner "file" {
    sources     = var.inputs
    destination = "${local.work}/"
  }

  provisioner "file" {
    sources     = var.archives
    destination = "${local.large}/"
  }

  provisioner "shell" {
    scripts         = ["${var.scripts}/packages.sh", "${var.scripts}/files.sh", "${var.scripts}/images.sh", "${var.scripts}/trial.sh", "${var.scripts}/sizes.sh", "${var.scripts}/inventory.sh"]
    remote_folder   = local.work
    execute_command = local.root
    skip_clean      = true
  }

  # The SBOM is made here, by a library that the guest does not have, and put into the image.
  provisioner "file" {
    direction   = "download"
    source      = "${local.work}/inventory.tar.gz"
    destination = var.inventory
  }

  provisioner "shell-local" {
    command = var.sbom_command
  }

  provisioner "file" {
    source      = var.sbom
    destination = "${local.work}/sbom.cdx.json"
    # Not there yet when all of this is read.
    generated = true
  }

  provisioner "shell" {
    scripts         = ["${var.scripts}/sbom.sh", "${var.scripts}/finish.sh"]
    remote_folder   = local.work
    execute_command = local.root
    skip_clean      = true
  }
}
