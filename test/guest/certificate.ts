/** Arguments of openssl for a certificate of its own, `pem`, with its `key`, in a folder. */
export const selfSigned = (folder: string, name: string): string[] => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${folder}/key`]
  return ['req', '-x509', ...key, '-out', `${folder}/pem`, '-subj', `/CN=${name}`, '-days', '1']
}
